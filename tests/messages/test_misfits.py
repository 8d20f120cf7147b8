"""A choice or field that there is not is answered with those that there are, wherever it stands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

import syft_ext as sy
from syft_ext.errors import BadRequest, InvalidConfig
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.operation import operation_of
from syft_ext.messages.requests import CreateRequest


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    choice: Annotated[Literal["", "red", "green"], msgspec.Meta(description="a colour")] = ""
    number: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    one: Inner | None = None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"many": [{}, {"choice": "blue"}]}, "many[1].choice cannot be 'blue'; it can be: 'green', 'red'"),
        (
            {"named": {"a": {"choice": "blue"}}},
            "named[...].choice cannot be 'blue'; it can be: 'green', 'red'",
        ),
        (
            {"one": {"choice": "a - at `$.b`"}},
            "one.choice cannot be 'a - at `$.b`'; it can be: 'green', 'red'",
        ),
        ({"one": {"colour": "red"}}, "there is no field 'colour' in one; there are: choice, number"),
        ({"two": 1}, "there is no field 'two'; there are: many, named, one"),
        ({"one": {"number": "x"}}, "Expected `int`, got `str` - at `$.one.number`"),
    ],
)
def test_what_there_is_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(given, Outer)
    assert misfit_in_words(refused.value, Outer) == said


def test_messages_configurations_and_declarations_say_it() -> None:
    message = {"object_id": "0" * 32, "reason": "why", "scope": "stats"}
    operation = operation_of(CreateRequest)
    for decode in (
        lambda: operation.decode(msgspec.msgpack.encode(message)),
        lambda: operation.decode_json(msgspec.json.encode(message)),
        lambda: operation.convert(message),
    ):
        with pytest.raises(BadRequest, match=r"scope cannot be 'stats'; it can be: .*'statistics'"):
            decode()
    with pytest.raises(InvalidConfig, match=r"missing cannot be 'centre'; it can be: .*'drop'"):
        sy.declare_inputs({"a": [1.0], "b": [1.0]}, "b", schema={"a": {"missing": "centre"}})


def test_what_is_no_misfit_of_msgspec_stays_as_it_is() -> None:
    for reason in ("a reason of one's own", "Invalid enum value 'x' - at `$.nowhere`"):
        assert misfit_in_words(ValueError(reason), Outer) == reason
