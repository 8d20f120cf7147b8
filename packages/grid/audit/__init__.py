"""The audit log of a node: who did what to which object by which grant, append-only and hash-chained."""
