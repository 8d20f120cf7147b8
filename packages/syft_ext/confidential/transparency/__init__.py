"""What is published for all to check: a key host's log of decisions, and a Domain's log in a tree with witnesses.

Knows statements and hashes; must not know who keeps a log, or where.
"""
