"""The user's own folder: keys, sessions, the nodes they have met.

Knows files of one person on one machine; must not know what is asked of a node.
"""
