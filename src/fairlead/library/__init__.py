"""The library: container networks as objects, without a daemon and without a container.

`import fairlead` gives it to people; docs/library.md is its reference. One process
opens a folder; what it makes there outlives it and is found again by the next.
"""
