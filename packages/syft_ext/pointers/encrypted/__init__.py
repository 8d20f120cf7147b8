"""Encrypted values at a Domain, as their user sees them: pointers, and what is computed with them there.

It knows forms and sessions; it must not know the library, which runs where the values are.
"""
