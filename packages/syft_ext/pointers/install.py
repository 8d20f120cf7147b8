"""``tensor.send`` and ``module.send``/``module.get``: methods of torch's own classes, where torch is loaded.

Nothing here imports torch: a command line that has no tensors does not wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import dropwhile, islice
from types import ModuleType
from typing import Any

from syft_ext.plans.tracing.sender import use_sender

__all__ = ["install"]


class _AfterTorch(MetaPathFinder):
    """Calls :func:`install` once torch is imported, whenever that is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the others' making, for torch alone; when its module has run, the methods are there."""
        if fullname != "torch":
            return None
        # Only those behind this one: those before it were asked, and one of them may be this finder once more, of
        # this package imported anew; the two would ask each other for ever.
        for finder in islice(dropwhile(lambda each: each is not self, sys.meta_path), 1, None):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                _follow(spec)
                return spec
        return None


def _follow(spec: ModuleSpec) -> None:
    loader = spec.loader
    if loader is None:
        return
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        run(module)
        install()

    loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader


def _send(
    self: Any, target: Any, *, tags: Sequence[str] = (), description: str = "", searchable: bool = False
) -> Any:
    """Send it to a Domain; a pointer to it (see :func:`syft_ext.send`)."""
    from syft_ext.pointers.sending import send

    return send(self, target, tags=tags, description=description, searchable=searchable)


def _get(self: Any, request_block: bool = False, timeout_secs: float = 600.0, reason: str = "") -> Any:
    """Fetch the parameters of a module that was sent; the same module, here again."""
    from syft_ext.pointers.modules import get_module

    return get_module(self, request_block=request_block, timeout_secs=timeout_secs, reason=reason)


def install() -> None:
    """Give torch's classes the methods, now or when torch is imported. May be called often."""
    use_sender(_send)
    torch = sys.modules.get("torch")
    nn = sys.modules.get("torch.nn")
    if torch is None or nn is None or not hasattr(torch, "Tensor") or not hasattr(nn, "Module"):
        if not any(isinstance(finder, _AfterTorch) for finder in sys.meta_path):
            sys.meta_path.insert(0, _AfterTorch())
        return
    for owner, name, method in (
        (torch.Tensor, "send", _send),
        (nn.Module, "send", _send),
        (nn.Module, "get", _get),
    ):
        if not hasattr(owner, name):
            setattr(owner, name, method)
