"""Drivers and IPAM of others: a plugin of the tests' own, and one that nobody here wrote."""
