"""Computations on shares: the protocols, plans on them, and parties in processes of their own."""
