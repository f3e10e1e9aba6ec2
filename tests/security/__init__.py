"""Attacks that are really made, and refused; and texts that try to be more than text."""
