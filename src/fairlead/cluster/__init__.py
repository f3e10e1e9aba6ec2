"""cluster: what the hosts of a cluster tell each other, in the words of Docker 20.10. Pure."""
