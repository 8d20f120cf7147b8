"""Text of a fixed form: what follows it in a new line is not part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from syft_ext.messages.operation import operations


def patterns(kinds: list[Any]) -> Iterator[str]:
    """Of all text in messages and replies, each once."""
    seen: set[str] = set()
    structs: set[type[Any]] = set()
    waiting: list[Any] = list(inspect.multi_type_info(kinds))
    while waiting:
        info = waiting.pop()
        if isinstance(info, inspect.StructType):
            if info.cls in structs:
                continue
            structs.add(info.cls)
            waiting += [field.type for field in info.fields]
        elif isinstance(info, inspect.StrType):
            if info.pattern is not None and info.pattern not in seen:
                seen.add(info.pattern)
                yield info.pattern
        else:
            children = (getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type"))
            waiting += [each for each in children if isinstance(each, inspect.Type)]
            for name in ("types", "item_types"):
                waiting += getattr(info, name, ())


def test_no_pattern_takes_a_line_break_at_the_end_that_it_would_not_take_elsewhere() -> None:
    r"""``$`` of Python stands before a line break, too: a key and the same with one behind it were two texts and,
    once read as hexadecimal digits, one key. ``\Z`` is none of the JSON Schema that other languages read."""
    kinds = [kind for each in operations().values() for kind in (each.message, each.reply)]
    found = list(patterns(kinds))
    assert len(found) > 8
    for pattern in found:
        assert pattern.endswith((r"$(?!\n)", r"[^\x00]*$")), pattern
        assert re.search(pattern, "\n") is None or re.search(pattern, "a\nb"), pattern
