"""The Domain app: a page of composition over :mod:`grid`."""
