"""Gossip: a serf agent beside the daemon, and how it is talked to."""
