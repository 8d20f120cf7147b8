"""Google Confidential Space: tokens that Google's verifier signs about a container on a confidential machine.

Knows Google's tokens ("Confidential Space token claims"), signed by a key of a set (OIDC) or under Google's root
(PKI); must not know other makers. A token is a passport: who accepts one trusts Google as verifier.
"""
