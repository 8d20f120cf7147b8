"""Intersections at a node: members of runs with another Domain, each in a sandboxed host process of its own.

The node's process decides who may join, reads the ids of its own table and carries sealed frames; keys and points
are in hosts only.

It must not know what the protocol does, nor any key of a host.
"""
