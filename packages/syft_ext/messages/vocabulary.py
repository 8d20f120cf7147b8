"""The options that people give again and again, each declared once: for search, publication, mocks and requests.

Messages derive from them (:mod:`syft_ext.messages.wire_order` keeps their bytes as they were), the methods of the
SDK take them as their parameters (:mod:`syft_ext.messages.parameters`), and the command line makes its options of
them. So an option that is added here is known at once to every search, to REST and to ``grid search``. The
descriptions are those of the API's page, of ``help()`` and of ``--help``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from syft_ext.messages.fields import Description, Limit, Name, Note, Size, Tag, Words

__all__ = [
    "PUBLISHED",
    "SCOPES",
    "AnyKind",
    "ColumnMetadata",
    "Decimal",
    "Delimiter",
    "Encoding",
    "Field",
    "Kind",
    "Missing",
    "MockOptions",
    "Publication",
    "RequestOptions",
    "Rows",
    "Scope",
    "SearchOptions",
    "SearchTerms",
    "Seed",
    "Subject",
    "Subjects",
    "TableOptions",
    "Thousands",
    "Visibility",
    "terms_of",
]

Scope = Literal["read", "compute", "statistics"]
"""What one may be allowed with an object."""
SCOPES: tuple[Scope, ...] = ("read", "compute", "statistics")

Kind = Literal["dataset", "model", "object"]
"""What a search finds."""
AnyKind = Literal["", Kind]

Visibility = Literal["public", "users", "private"]
Field = Literal["description", "tags", "assets", "schema", "size", "mock", "owner", "subjects", "versions"]
#: What others see of a dataset unless its owner says otherwise. Its name they always see.
PUBLISHED: tuple[Field, ...] = (
    "description",
    "tags",
    "assets",
    "schema",
    "size",
    "mock",
    "subjects",
    "versions",
)

Subject = Annotated[str, msgspec.Meta(pattern=r"^(\*|[0-9a-f]{32}|group:[0-9a-f]{32})$(?!\n)")]
Subjects = Annotated[Sequence[Subject], msgspec.Meta(max_length=1000)]
Rows = Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="How many entries the mock has.")]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32, description="The same seed makes the same mock.")]


# -- search --------------------------------------------------------------------------------------------


class _SearchText(msgspec.Struct):
    text: Annotated[
        Words,
        msgspec.Meta(
            description="Words that all occur in name, description, tags or columns, whatever case and accents."
        ),
    ] = ""


class SearchTerms(_SearchText, kw_only=True):
    """What every search compares: at a Domain, at a Network, and by a Network at its Domains."""

    tags: Annotated[
        Sequence[Tag],
        msgspec.Meta(max_length=64, description="Tags that must all be there, letter by letter."),
    ] = []
    columns: Annotated[
        Sequence[Name],
        msgspec.Meta(
            max_length=64,
            description="Columns that must all be there, whatever case and accents.",
        ),
    ] = []
    name: Annotated[Words, msgspec.Meta(description="The exact name.")] = ""
    min_bytes: Annotated[
        Size | None,
        msgspec.Meta(description="Of a published size (all assets together), at least so many bytes."),
    ] = None
    max_bytes: Annotated[
        Size | None,
        msgspec.Meta(description="Of a published size (all assets together), at most so many bytes."),
    ] = None
    min_rows: Annotated[
        Size | None, msgspec.Meta(description="Published rows (of the longest asset), at least so many.")
    ] = None
    max_rows: Annotated[
        Size | None, msgspec.Meta(description="Published rows (of the longest asset), at most so many.")
    ] = None
    limit: Annotated[Limit, msgspec.Meta(description="At most so many.")] = 100


class SearchOptions(SearchTerms, kw_only=True):
    """What whoever searches may say, at a Domain and at a Network."""

    kind: Annotated[AnyKind, msgspec.Meta(description="Only things of this kind.")] = ""


def terms_of(search: SearchTerms) -> dict[str, Any]:
    """The terms of any search, by name: what is asked of one node is asked of another."""
    return {name: getattr(search, name) for name in SearchTerms.__struct_fields__}


# -- datasets ------------------------------------------------------------------------------------------


class Publication(msgspec.Struct, kw_only=True):
    """What others are told of a dataset, and who they are."""

    description: Annotated[Description, msgspec.Meta(description="What it is.")] = ""
    tags: Annotated[Sequence[Tag], msgspec.Meta(max_length=64, description="Tags that it is found by.")] = []
    subjects: Annotated[
        Note, msgspec.Meta(description="A note on the people (or things) that the data are about.")
    ] = ""
    visibility: Annotated[
        Visibility,
        msgspec.Meta(
            description='Who finds it: "public" (the associated Networks too), "users" (everybody logged in'
            ' here) or "private" (you and its viewers).'
        ),
    ] = "public"
    published: Annotated[Sequence[Field], msgspec.Meta(description="What others see of it.")] = msgspec.field(
        default_factory=lambda: list(PUBLISHED)
    )
    viewers: Annotated[
        Subjects,
        msgspec.Meta(description="Who finds a private dataset: user ids, or group: and a group's id."),
    ] = []


ColumnMetadata = Mapping[str, Mapping[str, Any]]
"""What the owner says of columns: name → unit, description, low and high, categories; and, for their reading only,
dtype, format and timezone."""


Encoding = Annotated[
    str,
    msgspec.Meta(max_length=40, description="Of a CSV's text: utf-8, latin-1, cp1252, utf-16 or another."),
]
Delimiter = Annotated[
    str,
    msgspec.Meta(
        max_length=3,
        description='What separates a CSV\'s columns ("tab" is one); unless told, comma or semicolon by header.',
    ),
]
Decimal = Annotated[Literal[".", ","], msgspec.Meta(description="What stands before the decimals in a CSV.")]
Thousands = Annotated[
    Literal["", ",", ".", " ", "'"],
    msgspec.Meta(description="What separates thousands in a CSV; unless told, nothing may."),
]
Missing = Annotated[
    Sequence[Annotated[str, msgspec.Meta(max_length=100)]],
    msgspec.Meta(max_length=100, description="Further text that stands for a missing value in a CSV."),
]


class TableOptions(msgspec.Struct, kw_only=True, frozen=True):
    """How a file of text (CSV) is written, where it is not as usual: told, and never guessed."""

    encoding: Encoding = "utf-8"
    delimiter: Delimiter = ""
    decimal: Decimal = "."
    thousands: Thousands = ""
    missing: Missing = ()

    @property
    def usual(self) -> bool:
        """Whether nothing is told."""
        return not self.missing and msgspec.structs.replace(self, missing=()) == TableOptions()


class MockOptions(msgspec.Struct):
    """How a Domain makes a mock from a schema."""

    rows: Rows = 100
    seed: Seed = 0


# -- requests ------------------------------------------------------------------------------------------


class RequestOptions(msgspec.Struct):
    """What whoever asks for an object says."""

    reason: Annotated[Note, msgspec.Meta(description="What whoever decides is told.")] = ""
    scope: Annotated[
        Scope, msgspec.Meta(description="To read it, to compute on it, or to have statistics of it.")
    ] = "read"
