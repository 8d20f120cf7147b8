"""Calls to addresses that somebody else named: what the node's owner allows, and the socket to just that.

Knows names, addresses and the owner's settings; must not know who is called, or why.
"""
