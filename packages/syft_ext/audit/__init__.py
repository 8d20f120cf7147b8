"""The audit log's hash chain: what an entry is, how it is sealed, and how a log is verified. Needs no node."""
