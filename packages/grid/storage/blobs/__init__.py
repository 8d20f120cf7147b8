"""Contents by their digest: the interface, and files as its first store.

Knows bytes, locks and durability; must not know what a content means or who refers to it.
"""
