"""The Worker app: a page of composition over :mod:`grid`."""
