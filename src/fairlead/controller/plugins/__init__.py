"""Drivers and IPAM of others, by Docker's plugin protocol: found by name, asked by JSON.

=========  ==========================================================================
places     where plugins are found, and which names may be looked for
wire       what is said and answered, as values; pure
plugin     one plugin: activation, calls, retries, limits
network    its NetworkDriver, as a party of `ask`
addresses  its IpamDriver, as a ledger of `ask`
plugins    all of them: who has a say in a network
=========  ==========================================================================
"""
