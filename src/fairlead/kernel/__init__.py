"""The kernel: the only code that changes the host's network."""
