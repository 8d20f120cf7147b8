"""Standing rules: an author's word on requests that are yet to come.

Knows decisions; must not grant what its author could not.
"""
