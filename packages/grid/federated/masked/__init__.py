"""Rounds of secure aggregation at a node: what participants say is stored, phases end by what came or by their
time.

Knows trainings, cycles and the pure machine (:mod:`syft_ext.secure_aggregation`); must not know what a report's
words mean, nor anything that would open less than a whole sum.
"""
