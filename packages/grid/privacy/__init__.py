"""Privacy mechanisms, their accounting, and the budgets they are charged to.

The mechanisms are pure code that an enclave can measure; only ``budget`` knows a database.

Its parts must not know what the numbers are about.
"""
