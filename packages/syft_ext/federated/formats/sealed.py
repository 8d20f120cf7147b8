"""Sealed reports: what was learned, for the attested worker of a confidential training and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from syft_ext.confidential.rounds import ReportLayout
from syft_ext.errors import Conflict, InvalidTensors, Unsupported
from syft_ext.federated.formats.encoder import EncodedReport, ReportContext, ReportEncoder
from syft_ext.federated.sealed.part import SEALED
from syft_ext.messages.confidential import DeclareUpload
from syft_ext.plans.training.parameters import parameter_diff
from syft_ext.tensors import dtype_code, raw_bytes

__all__ = ["SealedEncoder"]


class SealedEncoder(ReportEncoder):
    """The difference of the model's parameters, in the round's layout, without a name or a number beside it. It is
    sealed once for a round, and the stored file is what is sent, however often."""

    name = SEALED
    tells_metrics = False

    def check(self, options: Mapping[str, Any]) -> None:
        if options:
            raise Unsupported(
                f"sealed reports have no options, the training has {', '.join(sorted(options))}"
            )

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        part = context.confidential
        if part is None:
            raise Conflict("a sealed report needs what was verified for its assignment", reason="state")
        difference = parameter_diff(context.base, trained)
        length = sum(
            tensor.numel() * tensor.element_size()
            for name, tensor in difference.items()
            if context.base.kind(name, tensor) == "parameter"
        )

        def pieces(layout: ReportLayout) -> Iterator[memoryview]:
            for each in layout.tensors:
                tensor = difference.get(each.name)
                if tensor is None or (dtype_code(tensor.dtype), tuple(tensor.shape)) != (
                    each.dtype,
                    each.shape,
                ):
                    raise InvalidTensors(f"tensor {each.name[:80]!r} is not as in the round's layout")
                yield memoryview(raw_bytes(tensor).numpy().data).cast("B")

        stored = part.seal(length, pieces)
        assignment = context.assignment
        first = DeclareUpload(
            assignment_id=assignment.assignment_id,
            request_key=assignment.request_key,
            declaration=stored.declaration.encode(),
        )
        return EncodedReport(stored.pieces(), SEALED, first)
