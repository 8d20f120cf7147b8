"""The Network app: a page of composition over :mod:`grid`."""
