"""Values of Python and tensors of torch as content on its way to a Domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syft_ext.sources.content import Content, PartsContent, ValueContent
from syft_ext.sources.frames import tensor_part
from syft_ext.store.content import TENSOR_KINDS, is_tensor, kind_of

__all__ = ["value_content"]


def value_content(data: Any, kind: str) -> Content:
    """The content of a value that a store keeps; tensors are read when they are sent."""
    if kind not in TENSOR_KINDS or kind != kind_of(data):
        return ValueContent(data, kind)
    named: Mapping[str, Any] = data if isinstance(data, Mapping) else dict(_numbered(data))
    parts = [tensor_part(name, tensor, {}, f"tensor {name!r}") for name, tensor in named.items()]
    return PartsContent(kind, parts)


def _numbered(data: Any) -> list[tuple[str, Any]]:
    return [("", data)] if is_tensor(data) else [(str(place), each) for place, each in enumerate(data)]
