"""Many hosts: containers on different machines share a network."""
