"""Secure aggregation: a Domain learns the sum of what participants learned, and of no single one of them.

The protocol of Bonawitz et al. ("Practical secure aggregation for privacy-preserving machine learning", 2017)
against
a malicious server, on the complete graph of 3 to 64 participants: ADVERTISE → SHARES → MASKED → CONSISTENCY →
    UNMASK
→ SUM. Both sides' machines, without input or output: bytes in, bytes out; what must survive a crash is handed to a
keeper before anything that depends on it is given back.

Knows numbers, keys and statements; must not know a node, a job, a database or a clock.
"""
