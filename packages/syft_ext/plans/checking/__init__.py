"""Whether a stranger's plan may run: its structure, sizes and cost, before anything is allocated.

Knows the graph and its limits; must not run a kernel on data.
"""
