"""Values: what networks, endpoints, sandboxes and kernel objects are. Stdlib only."""
