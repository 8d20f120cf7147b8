"""Who may do what with whose data: requests, grants, standing rules, plans under review.

Knows who asked for what, and who decides on it; must not weigh a grant itself (``grid.access``).
"""
