"""The Worker app: a page of composition over :mod:`grid`.

Knows which services make a Worker, and from which settings; must not know the other apps.
"""
