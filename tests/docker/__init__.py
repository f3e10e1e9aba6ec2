"""The daemon as its users see it: the docker command line, docker-py, other machines."""
