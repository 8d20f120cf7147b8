"""Budgets of users in billionths of epsilon, ledgers of tables in parts of ρ: taken before an answer leaves.

Knows tables and users; must not know how noise is drawn, nor what was measured.
"""
