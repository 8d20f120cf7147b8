"""Clients of each kind of node: ``DomainClient``, ``NetworkClient``, and logging in to one.

Knows what each kind of node offers; must not know trainings run on one's own data (``federated``).
"""
