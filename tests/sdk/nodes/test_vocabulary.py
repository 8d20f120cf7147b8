"""An option is declared once and known everywhere: to the SDK, the messages, REST and the command line."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

import click
import msgspec
import pytest
from click.testing import CliRunner
from werkzeug.test import create_environ

from apps.cli.commands.datasets import dataset
from apps.cli.commands.search import search
from apps.cli.options import options_of
from grid.web.api.fields import Fields
from grid.web.http.request import Request
from syft_ext.errors import BadRequest
from syft_ext.messages import Message, operation_of
from syft_ext.messages.datasets import CreateDataset, MakeMock, SearchPublished, SearchQuery, UpdateDataset
from syft_ext.messages.network import SearchNetwork
from syft_ext.messages.parameters import checked, parameters_of
from syft_ext.messages.requests import CreateRequest
from syft_ext.messages.vocabulary import (
    SCOPES,
    MockOptions,
    Publication,
    RequestOptions,
    SearchOptions,
    SearchTerms,
    terms_of,
)
from syft_ext.messages.wire_order import wire_order
from syft_ext.nodes.datasets import DatasetAsset, Datasets
from syft_ext.nodes.domain import DomainClient
from syft_ext.nodes.network import NetworkClient


def _fields(declaration: type[msgspec.Struct]) -> set[str]:
    return set(declaration.__struct_fields__)


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def _options(command: click.Command) -> set[str]:
    return {str(each.name) for each in command.params}


@pytest.mark.parametrize(
    ("declared", "known"),
    [
        (SearchOptions, _fields(SearchQuery)),
        (SearchOptions, _fields(SearchNetwork)),
        (SearchTerms, _fields(SearchPublished)),
        (SearchOptions, _parameters(DomainClient.search)),
        (SearchOptions, _parameters(NetworkClient.search)),
        (SearchOptions, _options(search) | {"text"}),
        (Publication, _fields(CreateDataset)),
        (Publication, _fields(UpdateDataset)),
        (Publication, _parameters(Datasets.create)),
        (Publication, _options(dataset.commands["add"])),
        (MockOptions, _fields(MakeMock)),
        (MockOptions, _parameters(DatasetAsset.make_mock)),
        (MockOptions, {name.removeprefix("mock_") for name in _parameters(Datasets.create)}),
        (MockOptions, _options(dataset.commands["mock"])),
        (RequestOptions, _fields(CreateRequest)),
        (RequestOptions, _parameters(DatasetAsset.request)),
    ],
)
def test_what_is_declared_is_known(declared: type[msgspec.Struct], known: set[str]) -> None:
    assert _fields(declared) <= known


def test_signatures_say_what_one_may_give() -> None:
    shown = str(inspect.signature(NetworkClient.search))
    assert shown.startswith("(self, text: str = '', *, tags: collections.abc.Sequence[str] = [], ")
    assert "factory" not in shown + str(inspect.signature(Datasets.create))
    assert "min_rows: Published rows" in (NetworkClient.search.__doc__ or "")


def test_a_network_asks_its_domains_by_the_same_terms() -> None:
    asked = SearchNetwork("a", tags=["t"], columns=["c"], min_rows=3, limit=7, kind="model", deadline=1.0)
    told = SearchPublished(kinds=["model"], **terms_of(asked))
    assert terms_of(told) == terms_of(asked)
    assert (told.text, told.tags, told.min_rows, told.limit) == ("a", ["t"], 3, 7)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"kind": "table"}, r"kind"),
        ({"min_rows": -1}, r"min_rows"),
        ({"limit": 0}, r"limit"),
        ({"tags": "oncology"}, r"tags"),
    ],
)
def test_a_search_for_what_cannot_be_is_refused_here(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        checked(SearchQuery(**wrong))


@pytest.mark.parametrize("several", [("age",), {"age"}, iter(["age"]), {"age": 1}.keys()])
def test_several_values_come_as_anything_that_has_them(several: Any) -> None:
    assert checked(SearchQuery(columns=several)).columns == ["age"]


def test_an_option_that_there_is_not_is_a_type_error() -> None:
    class Asker:
        @parameters_of(SearchQuery)
        def search(self, query: SearchQuery) -> SearchQuery:
            """Ask."""
            return query

    assert Asker().search("x", limit=3) == SearchQuery(text="x", limit=3)
    wrong: dict[str, Any] = {"colums": ["age"]}
    with pytest.raises(TypeError, match="colums"):
        Asker().search("x", **wrong)
    with pytest.raises(TypeError):
        Asker().search("x", ["tag"])  # type: ignore[call-arg]


# -- the order on the wire -----------------------------------------------------------------------------


class _Base(msgspec.Struct):
    a: int = 1
    b: list[int] = []


class _Derived(_Base, Message, kw_only=True):
    """Something."""

    c: str


def test_the_order_of_fields_is_said_and_nothing_else_changes() -> None:
    ordered = wire_order("c", "a")(_Derived)
    assert ordered.__struct_fields__ == ("c", "a", "b")
    assert (ordered.__name__, ordered.__doc__, ordered.__module__) == ("_Derived", "Something.", __name__)
    assert issubclass(ordered, Message)
    first, second = ordered(c="x"), ordered(c="x")
    first.b.append(1)  # type: ignore[attr-defined]  # defaults are not shared
    assert second == ordered(c="x", a=1, b=[])
    with pytest.raises(TypeError, match="c"):
        ordered()  # type: ignore[call-arg]
    with pytest.raises(msgspec.ValidationError, match="unknown"):
        msgspec.convert({"c": "x", "d": 1}, ordered)


def test_what_came_first_by_position_still_does() -> None:
    ordered = wire_order("a", "c")(_Derived)
    assert ordered(7, c="x") == ordered(a=7, c="x")
    with pytest.raises(TypeError):
        ordered(7, "x")  # type: ignore[misc]


# -- the command line ----------------------------------------------------------------------------------


class _Things(msgspec.Struct, kw_only=True):
    names: Annotated[list[str], msgspec.Meta(description="A name.")] = []
    sort: Annotated[Literal["", "big", "small"], msgspec.Meta(description="Which.")] = ""
    most: Annotated[int, msgspec.Meta(ge=1, lt=10)] | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    open: bool = False


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"names": [], "sort": "", "most": None, "share": 0.5, "open": False}),
        (
            ["--name", "a", "--name", "b", "--sort", "big", "--most", "9", "--share", "1", "--open", "yes"],
            {"names": ["a", "b"], "sort": "big", "most": 9, "share": 1.0, "open": True},
        ),
        (["--most", "10"], None),
        (["--share", "0"], None),
        (["--sort", ""], None),
        (["--named", "a"], None),
    ],
)
def test_options_are_made_of_a_declaration(arguments: list[str], expected: dict[str, Any] | None) -> None:
    found: dict[str, Any] = {}

    @click.command()
    @options_of(_Things)
    def command(**options: Any) -> None:
        found.update(options)

    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, found) == ((0, expected) if expected is not None else (2, {}))


def test_options_that_are_skipped_are_none() -> None:
    @click.command()
    @options_of(_Things, skip=("names", "open"))
    def command(**_: Any) -> None:
        pass

    assert [each.name for each in command.params] == ["sort", "most", "share"]


def test_the_api_tells_what_is_declared() -> None:
    (schema,) = msgspec.json.schema_components([operation_of(SearchNetwork).message])[1].values()
    assert schema["properties"]["min_rows"]["description"].startswith("Published rows")


@pytest.mark.parametrize(
    ("query", "tags"), [("tags=a&min_rows=3", ["a"]), ("min_rows=3&tags=a&tags=b", ["a", "b"])]
)
def test_rest_reads_fields_that_have_a_description(query: str, tags: list[str]) -> None:
    request = Request(create_environ(query_string=query))
    assert Fields(operation_of(SearchNetwork), 1000).read(request, {}) == SearchNetwork(tags=tags, min_rows=3)


def test_scopes_are_those_of_requests() -> None:
    for scope in SCOPES:
        assert operation_of(CreateRequest).convert({"object_id": "0" * 32, "scope": scope})
