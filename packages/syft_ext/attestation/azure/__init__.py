"""Azure: a guest behind Microsoft's paravisor, whose virtual TPM speaks for it, and Microsoft's own verifier.

Knows what Azure puts around reports; must not know AMD's and Intel's: the rooms
of their makers appraise hardware reports within it.
"""
