"""Workers in a cycle: check-in, waiting, assignment, and the reports they hand in.

Knows assignments; must not know how reports become a model.
"""
