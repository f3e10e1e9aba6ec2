"""trace: what becomes of a packet on this host, in words. Pure."""
