"""Statistics on the tables of a Domain: partial aggregates, which a scientist's SDK combines.

Exact, or, where the site's policy guards its tables, from noisy measurements (``guarded``). Knows numbers,
their noise and what they cost; must not know the catalogue, nor combine what several Domains answer.
"""
