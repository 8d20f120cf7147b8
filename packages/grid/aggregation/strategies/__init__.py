"""Strategies: how the reports of a cycle, and what is kept between cycles, become the next model.

Each knows numbers, tensor files and its own parameters; it must not know a node, a database, or which training
it serves. One file per strategy; :mod:`grid.aggregation.strategies.registry` finds them by name.
"""
