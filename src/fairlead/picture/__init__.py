"""Pictures of a world. Pure."""
