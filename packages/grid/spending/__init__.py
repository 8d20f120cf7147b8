"""What is spent stays spent, also when the database is put back to what it was before.

- ``record``: what was spent, beside the contents, signed with the node's key. It outlives the database.
- ``keeping``: written to it when a transaction that spends has committed, before its answer leaves; and the check
  in that transaction that the database is the newest one, and not one that was restored and waits for its owner.
- ``tables``: that it waits.

Knows keys and numbers of what is spent; must not know what grants, budgets or ledgers are: their rooms say so, and
put them right by the record (:class:`grid.spending.record.Spent`).
"""
