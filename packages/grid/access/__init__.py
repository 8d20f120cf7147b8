"""Who may find, aggregate, compute on and read: the one place that decides, and the site's policy.

Knows objects' lists, grants and sources; must not know what is done with what it allows.
"""
