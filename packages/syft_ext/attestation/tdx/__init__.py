"""Intel TDX: quotes of version 4 and 5, and the collateral that says at which level a platform is.

Knows Intel's quote, certificates and collateral (DCAP, PCS API v4); must not know other makers.
"""
