"""shared: what this host writes into the store that all hosts share, by compare-and-swap."""
