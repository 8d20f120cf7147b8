"""The pipeline's tables, unit of work, history and outbox, and its state machines without I/O.

Knows rows and transitions; must not know what triggers them.
"""
