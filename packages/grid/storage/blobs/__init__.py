"""Contents by their digest: the interface, the registry of stores, and files as the first of them.

Knows bytes, locks and durability; must not know what a content means or who refers to it.
"""
