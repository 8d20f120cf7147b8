"""How much of a node one caller can take: memory, connections, requests in a time; by network and by account.

Knows bytes, addresses and names; must not know requests, sockets or operations.
"""
