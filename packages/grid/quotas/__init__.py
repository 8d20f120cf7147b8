"""How much each user may keep here, and how much that is now: asked inside the transaction that adds to it.

Knows users, roles, numbers of bytes and of things; must not know what is kept: rooms above say how it is counted.
"""
