"""Values of any kind of statement, for property tests: fields are drawn by their types and rules."""

from __future__ import annotations

import typing
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from syft_ext.confidential.canonical import Statement
from syft_ext.errors import InvalidStatement
from tests.confidential.world import World

__all__ = ["sample"]

_WORLD = World()
_PATTERNS = {
    r"^[0-9a-f]{32}\Z": st.text("0123456789abcdef", min_size=32, max_size=32),
    r"^[!-~]+( [!-~]+)*\Z": st.from_regex(r"^[!-~]{1,20}\Z"),
    r"^[!-~]+\Z": st.from_regex(r"^[!-~]{1,20}\Z"),
}


def sample(kind: type[Statement]) -> st.SearchStrategy[Any]:
    """Statements of ``kind``. Where fields must agree with each other, a sound one of :class:`World`'s."""
    known: dict[str, Any] = {
        "ConfidentialPolicy": _WORLD.policy,
        "RoundKey": _WORLD.round_key(_WORLD.hosts[0]),
        "ReportLayout": _WORLD.layout,
        "Cohort": _WORLD.policy.cohort,
        "Windows": _WORLD.policy.windows,
        "RoundContext": _WORLD.context,
        "ParticipantCertificate": _WORLD.certificate(0),
        "SessionStatement": _WORLD.session(_WORLD.hosts[0]),
        "Denials": _WORLD.session(_WORLD.hosts[0]).denied,
    }
    if kind.__name__ in known:
        return st.just(known[kind.__name__])
    fields = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return st.tuples(*(_of(field.type) for field in fields)).map(lambda values: kind(*values))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType():
            kind: Any = typing.get_origin(info.cls) or info.cls
            if not issubclass(kind, Statement):  # evidence
                return st.tuples(*(_of(field.type) for field in info.fields)).map(
                    lambda values: kind(*values)
                )
            return sample(kind)
        case inspect.Metadata():
            return _of(info.type)
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            least = info.ge if info.ge is not None else 0
            most = info.le if info.le is not None else (info.lt or 1 << 62) - 1
            return st.integers(least, most)
        case inspect.BytesType():
            least = info.min_length or 0
            return st.binary(min_size=least, max_size=min(info.max_length or 64, least + 40))
        case inspect.StrType():
            if info.pattern:
                return _PATTERNS[info.pattern]
            return st.text(min_size=info.min_length or 0, max_size=min(info.max_length or 20, 20))
        case inspect.TupleType():
            return st.tuples(*(_of(item) for item in info.item_types))
        case inspect.VarTupleType():
            least = info.min_length or 0
            items = st.lists(
                _of(info.item_type), min_size=least, max_size=min(info.max_length or 4, least + 2)
            )
            return items.map(tuple)
    raise InvalidStatement(f"no sample for {info}")
