"""What a guarded table answers: functions of noisy measurements, each made once, that are charged to a ledger.

Knows measurements, their noise and what can be computed from them. Only ``vectors`` sees rows. It must not
know who asks, nor what a permission is; nothing here may depend on rows otherwise than through a
measurement that is paid for (size checks, errors, the keys of groups).

- ``schema``: what the owner wrote of columns, which is public. ``terms``: what the policy says, as numbers.
- ``questions``: what an analysis needs to be measured.
- ``measurement``: one kind of question each, its price and its noise. ``vectors``: the exact whole numbers.
- ``release``: measurements of one content, known or made now. ``payloads``: how they are kept.
- ``grids``: cells of columns. ``trees``: sums of cells, made consistent. ``cumulative``: what follows from them.
- ``answers``: replies. ``regressions``: co-moments and the rounds of a logistic regression.
- ``tables``, ``records``: the measurements in the database, and their one transaction.
"""
