"""Evidence that a program runs where its operator cannot look into it, and how it is appraised (RFC 9334).

Knows bytes, certificates, times and policies; must not know a node, a network, a store or a clock: endorsements
(certificates, revocation lists, collateral, key sets) come beside the evidence, and the time is an argument.

In the words of RFC 9334: an *attester* makes :class:`~syft_ext.attestation.evidence.Evidence`, *endorsers* sign
what is beside it, and this room is the *verifier*: :func:`~syft_ext.attestation.appraise.appraise` holds
evidence against reference values (:class:`~syft_ext.attestation.policy.AttestationPolicy`) and gives an
attestation result (:class:`~syft_ext.attestation.evidence.Appraisal`), on which key hosts and participants, the
*relying parties*, decide.
"""
