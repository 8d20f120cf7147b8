"""AWS Nitro Enclaves: attestation documents of the hypervisor, a COSE_Sign1 under AWS' own root.

Knows AWS' document ("Nitro Enclaves attestation process") and its registers; must not know other makers.
"""
