"""The node platform: what Network, Domain and Worker apps are composed from (server side).

Knows Flask, gevent and SQLAlchemy; must not know the apps that are composed from it, nor load torch into the
process of a node.
"""
