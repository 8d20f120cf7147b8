"""Trainings whose reports are encrypted: ciphertexts are summed here, and the holder of the key opens the sum.

Knows trainings, cycles and what ciphertexts are made of (:mod:`syft_ext.encrypted`); must not know a secret
key, nor the library, which runs in a confined child alone.
"""
