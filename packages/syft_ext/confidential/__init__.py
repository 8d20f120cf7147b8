"""What the parties of a confidential training say to each other, and how each checks it.

Participants, key hosts, a Domain that nobody trusts, and the measured worker: their statements are canonical
signed bytes (:mod:`~syft_ext.confidential.canonical`), the updates are sealed to keys that the hosts hold, and
every check is a pure function of statements and a time that the caller gives. Knows cryptography and numpy at
most; must not know a node, a database, a socket, torch, or the clock.
"""
