"""The check before a run, remembered per plan and symbol binding."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from syft_ext.plans.checking.propagate import Propagation, propagate
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.limits import Limits

__all__ = ["checked"]

_CAPACITY = 256
_Key = tuple[str, tuple[tuple[str, int], ...]]
_cache: OrderedDict[_Key, Propagation] = OrderedDict()
_lock = threading.Lock()


def checked(plan_id: str, document: Document, binding: Mapping[str, int], limits: Limits) -> Propagation:
    """Types and cost of the plan at ``binding``; raises :class:`InvalidPlan` if it fails or passes a limit.

    Propagation costs 5-400 ms, so its result is kept: a plan with the same id has the same bytes.
    """
    key = (plan_id, tuple(sorted(binding.items())))
    with _lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
    if found is None:
        found = propagate(document, binding, limits)
        with _lock:
            _cache[key] = found
            while len(_cache) > _CAPACITY:
                _cache.popitem(last=False)
    found.cost.enforce(limits)
    return found
