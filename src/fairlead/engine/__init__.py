"""The only writer of containers. It asks the controller for their networks."""
