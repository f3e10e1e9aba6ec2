"""Plans: from the state we want and the state there is to the steps between. Pure."""
