"""Private queries of stored tables: one number under ε that the caller chooses and the table's ledger pays for.

Knows the guarded desk, whose answer it asks for first where a table is guarded; must not know who makes datasets.
"""
