"""The controller: the only writer of networks, one change at a time."""
