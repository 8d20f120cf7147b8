"""A participant's side of a confidential training: what it remembers, checks and keeps before a byte leaves.

Knows the user's own folder, a job's session and :mod:`syft_ext.confidential`; must not know how a report is
written or how a plan runs.
"""

from syft_ext.federated.sealed.part import ConfidentialPart
from syft_ext.federated.sealed.views import ConfidentialOffer

__all__ = ["ConfidentialOffer", "ConfidentialPart"]
