"""Implementations by name: those of Grid, those that installed packages bring, and what is set of them.

Knows entry points and types of parameters; must not know what any implementation does.
"""
