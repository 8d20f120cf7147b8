"""The life of cycles: opening, closing on goal or time, and the policy fixed for each.

Knows the clock it is given; must not read reports.
"""
