"""Encrypted reports: the difference of the model's parameters, under the key of whoever hosts the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from syft_ext.encrypted.child import check_installed
from syft_ext.encrypted.context import PublicContext
from syft_ext.encrypted.statement import CKKS, CONTEXT_PROTOCOL
from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.errors import GridError, NotAgreed, Unavailable, Unsupported
from syft_ext.federated.formats.encoder import EncodedReport, ReportContext, ReportEncoder
from syft_ext.federated.formats.flat import flat_parameters

__all__ = ["CkksEncoder"]


class CkksEncoder(ReportEncoder):
    """The Domain sees ciphertexts, the holder of the key the sum of all reports. The context is the one that the
    definition names, which its owner agreed to; its digest stands in the report, whose digest is signed."""

    name = CKKS
    tells_metrics = False

    def check(self, options: Mapping[str, Any]) -> None:
        """The terms, held against what every honest participant demands of them: of whatever a Domain declares."""
        try:
            EncryptedSumTerms.parse(options)
        except GridError as error:
            raise Unsupported(
                f"the terms of this training's encrypted sums protect nobody: {error.detail}"
            ) from error
        try:
            check_installed()
        except Unavailable as error:  # no waiting brings it
            raise Unsupported(f"this training's reports are encrypted: {error.detail}") from error

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        terms = EncryptedSumTerms.parse(context.assignment.report_options)
        content = context.protocols.get(CONTEXT_PROTOCOL)
        if content is None:
            raise NotAgreed("the training comes without the public context that it names", reason="content")
        public = PublicContext(content)  # which refuses a secret key, and parameters that are not on the list
        if (public.digest, public.parameters) != (terms.context, terms.parameters):
            raise NotAgreed(
                "the training comes with another public context than was agreed to", reason="content"
            )
        update = np.concatenate(
            [np.asarray(part, np.float64) for part in flat_parameters(context.base, trained)]
        )
        question = [bytes.fromhex(context.base.digest)]
        rules = terms.rules(len(update))
        return EncodedReport([rules.encrypted(public, update, context.secret, question)], CKKS)
