"""One setting as the loader and the command line see it, read from what :mod:`grid.config.settings` declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from grid.config.settings import NodeSettings

__all__ = ["Field", "setting_fields"]


@dataclass(frozen=True, slots=True)
class Field:
    """One setting, as the loader and the command line see it. ``env`` is its second name, if it has one; ``path``
    says that it names a file or folder, which is meant from where the command was run."""

    name: str
    type: Any
    default: Any
    description: str
    secret: bool
    env: str
    path: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that are allowed; empty where any of the type is."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self.type) is list


def setting_fields(settings: type[NodeSettings]) -> Mapping[str, Field]:
    """The single settings by name, in the order of their declaration."""
    return _fields(settings)


@cache
def _fields(settings: type[NodeSettings]) -> Mapping[str, Field]:
    hints = get_type_hints(settings, include_extras=True)
    fields = {info.name: _field(info, hints[info.name]) for info in msgspec.structs.fields(settings)}
    return MappingProxyType(fields)


def _field(info: msgspec.structs.FieldInfo, hint: Any) -> Field:
    plain, metas = _unwrap(hint)
    extra = next((meta.extra for meta in metas if meta.extra), {})
    description = next((meta.description for meta in metas if meta.description), "")
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    secret, path = bool(extra.get("secret")), bool(extra.get("path"))
    return Field(info.name, plain, default, description, secret, str(extra.get("env", "")), path)


def _unwrap(hint: Any) -> tuple[Any, list[Meta]]:
    """The bare type of a hint, and its annotations, outermost first."""
    metas: list[Meta] = []
    while get_origin(hint) is Annotated:
        hint, *found = get_args(hint)
        # Nested annotations were flattened by typing, innermost first.
        metas += reversed([meta for meta in found if isinstance(meta, Meta)])
    return hint, metas
