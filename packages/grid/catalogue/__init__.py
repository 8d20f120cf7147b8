"""The catalogue of a Domain: objects, datasets, search, and who may find and read what.

Import from the modules: ``grid.catalogue.service.SERVICES``, ``grid.catalogue.search.SearchService``.

Knows what is there and what is published of it; must not decide who may have it (``grid.access``).
"""
