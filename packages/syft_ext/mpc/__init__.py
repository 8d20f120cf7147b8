"""Multi-party computation: several parties compute on numbers that none of them, and nobody else, sees.

Fixed-point numbers are shared modulo 2⁶⁴, by two parties and a dealer (:class:`~syft_ext.mpc.beaver.Beaver`), or
by three parties (:class:`~syft_ext.mpc.falcon.Falcon`), of which one may cheat
(:class:`~syft_ext.mpc.falcon_abort.FalconAbort`). An ordinary plan is the program. Sans-IO: each party is a
generator that yields what it sends.

Knows tensors, streams and plans; must not know nodes, sockets, sessions of users, or who may see what.
"""
