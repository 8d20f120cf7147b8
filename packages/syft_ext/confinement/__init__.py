"""What a process gives up before strangers' code or files come to it, and the processes that do so.

Knows the Linux kernel's means (namespaces, rlimits, Landlock, seccomp); must not know plans, tables, users, nodes.
"""
