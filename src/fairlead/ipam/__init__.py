"""Address management. Pure: what is taken comes in, what is chosen goes out."""
