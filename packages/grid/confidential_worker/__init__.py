"""The measured program of a confidential round: it opens what participants sealed, adds it up, seals one output.

Knows the pure rooms of ``syft_ext`` (statements, sealing, the kernel) and one pipe to whoever runs it; must not
know a node, a database, the network, a clock, files, torch, or anybody it would have to trust. It is what is
reviewed and measured, so it is as small as it can be: what can be done outside, after the noise, is done there.
"""
