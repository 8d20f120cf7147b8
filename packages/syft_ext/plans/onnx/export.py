"""A plan as the bytes of an ONNX model, proved by the plan's own self-test."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from syft_ext.errors import Unavailable
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.limits import Limits

__all__ = ["export"]


def export(document: Document, sizes: Mapping[str, int], limits: Limits) -> bytes:
    """The model of a plan that was validated, for these sizes of its symbols.

    Where onnxruntime is installed, it has reproduced the self-test vector of the plan (at the self-test's
    sizes) before anything is returned. Raises :class:`~syft_ext.errors.Unavailable` without the package
    ``onnx``, :class:`~syft_ext.errors.Unsupported` for what ONNX cannot say exactly,
    :class:`~syft_ext.errors.InvalidPlan` where the plan fails its check or its self-test.
    """
    if find_spec("onnx") is None:
        raise Unavailable('onnx is not installed: pip install "grid-platform[onnx]"', missing="onnx")
    from syft_ext.plans.onnx.convert import convert
    from syft_ext.plans.onnx.executor import OnnxExecutor

    converted = convert(document, sizes, limits)
    if find_spec("onnxruntime") is not None:
        OnnxExecutor(document, limits).self_test()
    data: bytes = converted.model.SerializeToString()
    return data
