"""Budgets in whole billionths of epsilon, taken by one conditional update before an answer leaves.

Knows tables and users; must not know how noise is drawn.
"""
