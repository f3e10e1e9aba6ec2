"""DHCP as a client speaks it (RFC 2131, 2132): pure.

=======  ==============================================================
message  bytes <-> messages
frame    messages in UDP, IPv4 and Ethernet, and out of them
terms    what a server's message grants, as a lease, if it can be true
client   a client's states, and what it sends when
=======  ==============================================================
"""
