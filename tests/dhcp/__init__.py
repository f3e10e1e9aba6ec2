"""DHCP as a client speaks it, without a wire."""
