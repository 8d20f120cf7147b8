"""The audit log's hash chain: what an entry is, how it is sealed, and how a log is verified.

Knows entries, hashes and keys; must not know a node: whoever holds an export can verify it.
"""
