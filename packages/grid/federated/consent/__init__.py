"""Whose word a training runs on, who counts as somebody in it, and who may read what comes of it.

Knows the desk of governance and the site's policy; must not know how cycles are averaged.
"""
