"""Pure mechanisms: noise, clipping.

Know numbers and a source of randomness; must not know a node, a database or a user.
"""
