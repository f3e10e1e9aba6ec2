"""Addresses by DHCP: asked for when an endpoint is made, renewed while it lives, given back.

========  ===================================================================
exchange  a client's states over the wire of a segment
lessor    who lets addresses on such networks, as `ask` wants it
keeper    renews leases, and says when one is lost or another is given
========  ===================================================================
"""
