"""Secure aggregation: the machines by themselves, what a cheating Domain learns, and rounds over real nodes."""
