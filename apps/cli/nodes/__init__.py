"""What ``grid <kind of node>`` can do: run a node, set it up, decide who associates with it.

Knows what kinds of node have in common, and the commands that one of them has for itself; must not list the kinds:
:mod:`apps.kinds` does.
"""
