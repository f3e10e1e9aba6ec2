"""Drivers: what should exist for a network and for an endpoint. Pure."""
