"""The plan on the wire: msgspec types of the format, version 1, and their canonical msgpack bytes.

A plan is pure data in straight-line single-assignment form. Value ids count the inputs, then the constants,
then every output of every node, in order. Media type ``application/vnd.grid.plan``, file suffix ``.plan``.

    argument of a node := null | bool | int | float | string     a literal
                        | ["r", id] | ["l", argument ...]        a value, a list
                        | ["s", size expression] | ["d", dtype]
    tree               := int | ["l", tree ...] | ["t", tree ...] | ["d", [key, tree] ...]

Decoding proves the outer form only; :mod:`syft_ext.plans.checking.validate` proves the rest. What a plan's bytes
become in memory is bounded before they are decoded (:mod:`syft_ext.plans.graph.outline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import msgspec

from syft_ext.errors import InvalidPlan, TooLarge
from syft_ext.plans.graph.outline import without_tensors

__all__ = [
    "FORMAT",
    "INPUT_ROLES",
    "KINDS",
    "MAX_PLAN_BYTES",
    "MEDIA_TYPE",
    "OPSET",
    "OUTPUT_ROLES",
    "VERSION",
    "Argument",
    "Const",
    "Document",
    "Generator",
    "Input",
    "InputRole",
    "Kind",
    "Node",
    "Output",
    "OutputRole",
    "SelfTest",
    "Summary",
    "check_words",
    "decode",
    "encode",
    "read_ops",
    "unknown_word",
]

FORMAT = "grid.plan"
VERSION = 1
#: The newest op set that this version reads (:mod:`syft_ext.plans.graph.ops`).
OPSET = 2
MEDIA_TYPE = "application/vnd.grid.plan"
MAX_PLAN_BYTES = 64 << 20

Kind = Literal["training", "averaging", "statistics", "inference"]
InputRole = Literal[
    "data", "target", "hyper", "param", "state", "buffer", "seed", "item", "count", "aggregate", "noise"
]
OutputRole = Literal["metric", "param", "state", "buffer", "aggregate", "result"]
KINDS, INPUT_ROLES, OUTPUT_ROLES = get_args(Kind), get_args(InputRole), get_args(OutputRole)


class Const(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A tensor in the plan: little-endian, contiguous ``raw`` bytes."""

    dtype: str
    shape: list[int]
    raw: bytes


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor that the plan takes. ``default`` is used when the caller leaves the argument out."""

    name: str
    role: InputRole
    dtype: str
    shape: list[Any]
    default: Const | None


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor that leaves the plan, with the type and shape it declares."""

    name: str
    role: OutputRole
    dtype: str
    shape: list[Any]
    id: int


class Argument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter of the traced function; ``tree`` nests the ids of its inputs as the caller nests tensors."""

    name: str
    tree: Any


class Node(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One operation: index into the table ``ops``, its arguments, how many values it defines."""

    op: int
    args: list[Any]
    kwargs: dict[str, Any]
    outs: int


class Generator(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How the self-test makes one input: values of the portable hash, mapped to [low, high]."""

    kind: Literal["uniform", "integers", "sorted", "default"]
    low: float
    high: float


class Summary(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the author's machine got for one output: its shape and some of its values."""

    shape: list[int]
    mean: float
    abs_mean: float
    first: list[float]


class SelfTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vector that every peer reproduces before it trusts its own executor (plans are run by several)."""

    seed: int
    symbols: dict[str, int]
    rtol: float
    atol: float
    inputs: list[Generator]
    outputs: list[Summary]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole plan."""

    format: str
    version: int
    opset: int
    kind: Kind
    name: str
    doc: str
    provenance: dict[str, str]
    symbols: dict[str, tuple[int, int]]
    arguments: list[Argument]
    inputs: list[Input]
    consts: list[Const]
    ops: list[str]
    nodes: list[Node]
    outputs: list[Output]
    result: Any
    selftest: SelfTest


class _DocumentHeader(msgspec.Struct):
    format: str
    version: int
    opset: int


class _OpsOnly(msgspec.Struct):
    ops: list[str]


class _Said(msgspec.Struct):
    name: str
    role: str


class _WordsOnly(msgspec.Struct):
    kind: str
    inputs: list[_Said]
    outputs: list[_Said]


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(Document)
_HEADER = msgspec.msgpack.Decoder(_DocumentHeader)
_OPS_ONLY = msgspec.msgpack.Decoder(_OpsOnly)
_WORDS_ONLY = msgspec.msgpack.Decoder(_WordsOnly)


def encode(document: Document) -> bytes:
    """The canonical bytes: fields in the order above, map keys sorted."""
    return _ENCODER.encode(document)


def read_ops(data: bytes | bytearray, max_bytes: int = MAX_PLAN_BYTES) -> list[str]:
    """The names of the operations that a plan uses; nothing else of it is made. Raises as :func:`decode`.

    Whoever runs the plan decodes all of it.
    """
    structure = _checked(data, max_bytes)
    with _reading():
        return _OPS_ONLY.decode(structure).ops


def _checked(data: bytes | bytearray, max_bytes: int) -> bytes | bytearray:
    """``data`` without its tensors. Raises for what is no plan of ours, or would grow beyond measure."""
    if len(data) > max_bytes:
        raise TooLarge(f"a plan of {len(data)} bytes", limit=max_bytes)
    structure = without_tensors(data)
    with _reading():
        header = _HEADER.decode(structure)
        if header.format != FORMAT:
            raise InvalidPlan("this is not a plan")
        if header.version != VERSION or not 1 <= header.opset <= OPSET:
            raise InvalidPlan(
                f"format version {header.version}, op set {header.opset}: this reader knows version {VERSION}"
                f" and op sets up to {OPSET}"
            )
    return structure


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, TypeError) as error:
        raise InvalidPlan(f"the plan's bytes cannot be read: {str(error)[:200]}") from error


def decode(data: bytes, max_bytes: int = MAX_PLAN_BYTES) -> Document:
    """Read canonical bytes. Raises :class:`InvalidPlan` or, above ``max_bytes``, :class:`TooLarge`.

    Bytes that decode but are not canonical are refused, so that one plan has exactly one id.
    """
    structure = _checked(data, max_bytes)
    with _reading():
        check_words(_WORDS_ONLY.decode(structure))
        document = _DECODER.decode(data)
        canonical = encode(document) == data
    if not canonical:
        raise InvalidPlan("the plan's bytes are not in canonical form")
    return document


def check_words(document: Document | _WordsOnly) -> None:
    """Raise :class:`InvalidPlan`, with the known ones, for a kind or role that there is not."""
    if document.kind not in KINDS:
        raise InvalidPlan(unknown_word("kind", document.kind, "the plan", KINDS))
    for what, said, known in (
        ("input", document.inputs, INPUT_ROLES),
        ("output", document.outputs, OUTPUT_ROLES),
    ):
        for each in said:
            if each.role not in known:
                raise InvalidPlan(unknown_word("role", each.role, f"{what} {each.name}"[:100], known))


def unknown_word(what: str, word: object, of: str, known: Sequence[str]) -> str:
    """What is said of a word that is none of the known ones."""
    return f"{of}: {str(word)[:40]!r} is no {what}; there are: {', '.join(known)}"
