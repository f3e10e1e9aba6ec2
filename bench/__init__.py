"""Benchmarks: fairlead, and Debian's Docker beside it, measured in the same run.

Each daemon has a pretend machine of its own, and rounds alternate between them, so that a figure
is first of all a ratio: both saw the same kernel, the same load and the same client.
"""
