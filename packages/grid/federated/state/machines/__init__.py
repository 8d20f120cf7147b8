"""Sans-IO state machines of the training pipeline: facts and an event in, the next state and effects out.

Nothing here knows a clock, a database or a socket. The adapters in :mod:`grid.federated` gather the facts
inside a transaction, ask the machine, and carry out what it says in that same transaction.
"""
