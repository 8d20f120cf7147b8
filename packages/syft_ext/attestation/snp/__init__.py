"""AMD SEV-SNP: reports of Milan, Genoa and Turin, signed by the chip's key (VCEK) or a cloud's (VLEK).

Knows AMD's report, certificates and TCB versions (AMD 56860, 57230); must not know other makers.
"""
