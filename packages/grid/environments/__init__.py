"""Compute environments: processes (or machines) of their own in which one user's sessions run.

Knows providers and the lives of what they make; must not know what is computed there.
"""
