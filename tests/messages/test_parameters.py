"""Methods that take the fields of a declared value: what Python, editors and notebooks see of them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import pytest

from syft_ext.errors import BadRequest
from syft_ext.messages.network import SearchNetwork
from syft_ext.messages.parameters import checked, described, parameters_of


class Options(msgspec.Struct):
    width: Annotated[int, msgspec.Meta(ge=1), msgspec.Meta(description="How wide.")]
    names: Annotated[list[str], msgspec.Meta(description="Which ones.")] = []
    plain: bool = False


class Shop:
    @parameters_of(Options)
    def order(self, options: Options) -> Any:
        """Order something."""
        return self, options

    @parameters_of(Options)
    def undocumented(self, options: Options) -> None:
        pass


def test_the_method_gets_the_value_that_the_fields_make() -> None:
    shop = Shop()
    assert shop.order(3, names=["a"]) == (shop, Options(3, ["a"]))
    assert shop.order(width=3) == (shop, Options(3))
    with pytest.raises(TypeError):
        shop.order(3, colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        shop.order()  # type: ignore[call-arg]


def test_it_looks_like_a_method_with_these_parameters() -> None:
    found = inspect.signature(Shop.order)
    assert str(found) == "(self, width: int, names: list[str] = [], plain: bool = False) -> 'Any'"
    assert Shop.order.__name__ == "order"


def test_its_documentation_says_what_each_field_is() -> None:
    assert described(Options) == {"width": "How wide.", "names": "Which ones."}
    assert inspect.getdoc(Shop.order) == (
        "Order something.\n\nOptions:\n    width: How wide.\n    names: Which ones."
    )
    assert (inspect.getdoc(Shop.undocumented) or "").startswith("Options:\n")


def test_a_message_is_read_as_the_node_will_read_it() -> None:
    columns: Sequence[str] = ("age", "sex")
    message = checked(SearchNetwork(columns=columns, tags={"a": 1}.keys()))  # type: ignore[arg-type]
    assert (list(message.columns), message.tags) == (["age", "sex"], ["a"])
    with pytest.raises(BadRequest, match=r"\$\.limit"):
        checked(SearchNetwork(limit=-1))
    with pytest.raises(BadRequest, match=r"\$\.columns"):
        checked(SearchNetwork(columns="age"))  # type: ignore[arg-type]  # text is no list of its letters
