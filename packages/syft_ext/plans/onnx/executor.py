"""Execution of a checked plan by onnxruntime, on NumPy's arrays."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import VALUES, InvalidPlan, Unavailable, Unsupported
from syft_ext.plans.checking.made_inputs import made_values
from syft_ext.plans.checking.sizes import bind
from syft_ext.plans.checking.summaries import compare_summaries, summary_of
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.limits import Cost, Limits
from syft_ext.plans.onnx.convert import Converted, check_expressible, convert
from syft_ext.plans.onnx.types import NUMPY

__all__ = ["OnnxExecutor", "session_of"]

_MAX_SIZES = 16
_NAMES = {dtype: name for name, dtype in NUMPY.items()}
_KERNEL = re.compile(r"[Ff]ind an implementation for (\w+)")
_MEMORY = re.compile(r"[Ff]ailed to allocate memory|bad_alloc")


def session_of(model: bytes, threads: int = 1) -> Any:
    """An onnxruntime session. Raises :class:`Unavailable` where it is not installed, :class:`Unsupported`
    where it has no kernel for one of the model's operations.

    Only what every level has done right is done to the graph: constants folded, what nobody reads left out.
    The higher levels have changed results (reference: ``microsoft/onnxruntime#32228``).
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(
            'onnxruntime is not installed: pip install "grid-platform[onnx]"', missing="onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4  # what goes wrong is raised
    options.use_deterministic_compute = True
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common type
        found = _KERNEL.search(str(error))
        if found is not None:
            raise Unsupported(f"onnxruntime has no kernel for {found.group(1)} of this type") from error
        raise InvalidPlan(f"onnxruntime refuses the model: {str(error)[:200]}") from error


class OnnxExecutor:
    """Runs one plan. For each size of its symbols a model is derived at the first run, and kept.

    ``limits`` bounds what a run may cost, before anything is allocated; ``threads`` are onnxruntime's.
    """

    def __init__(self, document: Document, limits: Limits | None = None, *, threads: int = 1) -> None:
        check_expressible(document)
        self.document, self.limits, self.threads = document, limits or Limits(), threads
        self._sessions: OrderedDict[tuple[int, ...], tuple[Any, Converted]] = OrderedDict()
        self._lock = threading.Lock()

    def cost(self, sizes: Mapping[str, int]) -> Cost:
        """What one run at these sizes costs. Raises as :func:`~syft_ext.plans.onnx.convert.convert`."""
        return self._session(sizes)[1].cost

    def run(self, flat: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Flat inputs to flat outputs, both in plan order; inputs are never written to.

        Raises :class:`InvalidPlan` when an input does not fit, a limit would be passed, or the data hold
        what an operation must not see (then with ``reason`` :data:`~syft_ext.errors.VALUES`).
        """
        sizes = bind(self.document, [(_NAMES.get(each.dtype, str(each.dtype)), each.shape) for each in flat])
        session, converted = self._session(sizes)
        inputs = dict(zip(converted.inputs, map(_dense, flat), strict=True))
        try:
            found: list[NDArray[Any]] = session.run(list(converted.outputs), inputs)
        except Exception as error:  # onnxruntime's errors have no common type
            if _MEMORY.search(str(error)):
                raise MemoryError(str(error)[:200]) from error
            raise InvalidPlan(
                f"the plan failed on these values: {str(error)[:200]}", reason=VALUES
            ) from error
        return found

    def self_test(self) -> None:
        """Raise :class:`InvalidPlan` unless onnxruntime reproduces the plan's self-test vector."""
        flat = []
        for item, values in zip(
            self.document.inputs, made_values(self.document, self.document.selftest.symbols), strict=True
        ):
            if values is None:
                assert item.default is not None  # proved by validate
                values = np.frombuffer(item.default.raw, NUMPY[item.dtype]).reshape(item.default.shape)
            flat.append(values.astype(NUMPY[item.dtype]))
        compare_summaries(self.document, [summary_of(each) for each in self.run(flat)])

    def _session(self, sizes: Mapping[str, int]) -> tuple[Any, Converted]:
        key = tuple(sizes[name] for name in sorted(sizes))
        with self._lock:
            if key not in self._sessions:
                converted = convert(self.document, sizes, self.limits)
                session = session_of(converted.model.SerializeToString(), self.threads)
                self._sessions[key] = (session, converted)
                while len(self._sessions) > _MAX_SIZES:
                    self._sessions.popitem(last=False)
            self._sessions.move_to_end(key)
            return self._sessions[key]


def _dense(array: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(array, order="C")  # ascontiguousarray makes one dimension of none
