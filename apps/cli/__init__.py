"""The command ``grid``, and what its commands share.

Knows what is typed and what is printed; must not decide anything that a node decides.
"""
