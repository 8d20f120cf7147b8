"""The SDK's clients of nodes: what a client of any node can do, collections, and how they show themselves.

Knows messages and a connection; must not know kinds of nodes (``nodes``) or remote tensors (``pointers``).
"""
