"""Compute environments: processes (or machines) of their own in which one user's sessions run."""
