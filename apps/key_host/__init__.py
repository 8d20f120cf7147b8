"""The key host app: a page of composition over :mod:`grid`.

Knows which services make a key host, and from which settings; must not know the other apps.
"""
