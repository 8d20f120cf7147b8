"""Computations on shares, and split networks, at a node: members of runs, each in a sandboxed host process.

The node's process decides who may join, signs its host's key and carries sealed frames; shares are in hosts only.

It must not know what a protocol does, nor any key of a host.
"""
