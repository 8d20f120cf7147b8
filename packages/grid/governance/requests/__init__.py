"""Asking for data and for privacy budget.

Knows what may be asked; must not decide (``decisions``).
"""
