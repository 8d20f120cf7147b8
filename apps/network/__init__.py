"""The Network app: a page of composition over :mod:`grid`.

Knows which services make a Network, and from which settings; must not know the other apps.
"""
