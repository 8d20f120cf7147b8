"""Private set intersection by elliptic-curve Diffie–Hellman: how many ids two tables have in common.

Two members, both semi-honest (Meadows 1986; De Cristofaro, Gasti, Tsudik 2012 for the number alone). Sans-IO:
frames in, frames out.

Knows ids as bytes, points and frames; must not know nodes, sockets, tables, or who may see what.
"""
