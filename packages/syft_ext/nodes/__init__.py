"""Clients of each kind of node: ``DomainClient``, ``NetworkClient``, and logging in to one.

Knows what each kind of node offers; must not know trainings run on one's own data (``federated``). Importing any
module of it loads the clients of all kinds, so that a login finds the one that fits the node.
"""

from syft_ext.nodes import domain as domain  # each of these registers its client (kinds.py)
from syft_ext.nodes import network as network
