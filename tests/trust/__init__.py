"""What happens when things go wrong: deaths at every step, crowds, and machines in a bad way."""
