"""Whether fairlead answers as a real Docker daemon was seen to."""
