"""Sans-IO state machines of the training pipeline: facts and an event in, the next state and effects out.

They know states and what may follow on each; they must not know a clock, a database or a socket. The adapters in
:mod:`grid.federated` gather the facts inside a transaction, ask the machine, and carry out what it says in that
same transaction.
"""
