"""Stored objects: their rows, uploads, and who still needs a content.

Knows rows and contents; must not know who may read them (``grid.access``).
"""
