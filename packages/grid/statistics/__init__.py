"""Statistics on the tables of a Domain: partial aggregates, which a scientist's SDK combines.

Knows numbers, suppression and noise; must not know the catalogue, nor combine what several Domains answer.
"""
