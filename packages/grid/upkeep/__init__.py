"""Looking after what a node keeps: contents read through, backups made and put back, what a quarantine holds.

- ``affected``: which objects, datasets, models and trainings rest on a content.
- ``scrub``: contents read through, gently; ``verification``: a whole home, while its node runs or not.
- ``sealing``: streams of bytes that only a passphrase or a key opens, and that cannot be cut.
- ``repository``, ``archive``: where a backup lies; ``records``: what it says. ``creating`` and ``restoring`` it.
- ``service``: the operations and the schedule.

Knows all rooms; must not hold a rule of any of them.
"""
