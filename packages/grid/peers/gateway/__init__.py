"""The process beside a Domain that ends the WebRTC sessions of its peers, and hands their messages to the node.

Knows sessions, channels and the socket to its node; must not know envelopes, people or a database. It loads
neither torch nor gevent, and opens nothing that it carries. What it says to its node is in ``wire.py``.
"""
