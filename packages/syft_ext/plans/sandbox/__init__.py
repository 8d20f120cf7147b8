"""Running strangers' plans: a process of its own, locked down, spoken to over one socket.

Knows processes, Landlock, seccomp and the channel; must not know nodes, users or who asked for the run.
"""
