"""Parts of calls: shapes, tensors, literals; calls by signature; and what makes a call that fits one that
nearly fits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.ops import ALLOWED, STRINGS

from .operands import EXTREMES, FLOAT_FILLS, FLOATS, INTEGER_FILLS, Operand, dense

Argument: TypeAlias = Any
"""A literal, an :class:`Operand`, a tuple of arguments (a list on the wire) or ``["d", dtype]``."""
Template: TypeAlias = "Callable[[Maker], Sequence[Argument]]"

_SMALL = [0, 1, 1, 2, 3, 4, 5, -1, -2, 7, 8, 100, -100]
_NUMBERS = [
    0,
    1,
    2,
    -1,
    3,
    0.5,
    -0.5,
    True,
    1e30,
    0.0,
    float("inf"),
    float("nan"),
    2**63 - 1,
    -(2**63),
    2**31,
    63,
    64,
]
LARGEST = 1 << 20
"""Elements of all operands of a case together."""


class Maker:
    def __init__(self, op: str, seed: int) -> None:
        self.op = op
        self.random = random.Random(f"{op}:{seed}")
        self.choice, self.parameters = self.random.choice, ALLOWED[op]._schema.arguments
        self.dtype = self.choice(["f32", "f32", "f32", "f64", "i64", *DTYPES])

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # -- parts -------------------------------------------------------------------------------------

    def size(self) -> int:
        if self.chance(0.1):  # around the widths of vector registers
            return self.choice([7, 15, 16, 31, 32, 63, 64, 65, 100, 130])
        return self.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 8, 17, 33])

    def few(self) -> int:
        return self.choice([1, 2, 3, 4, 5, 8, 16, 17, self.choice([15, 31, 32, 33, 64, 65])])

    def shape(self, rank: int | None = None) -> list[int]:
        if rank is None:
            rank = self.choice([0, 1, 1, 2, 2, 2, 3, 3, 4, 5])
        if self.chance(0.01):
            return [self.choice([1, 1, 1, 2]) for _ in range(self.choice([6, 9, 16, 17, 33, 65]))][:65]
        shape = [self.size() for _ in range(rank)]
        if rank >= 2 and self.chance(0.03):  # nothing in it, and large all the same
            shape[self.random.randrange(rank)] = self.choice([2**20, 2**27, 2**31, 2**40, 2**62])
            shape[self.random.randrange(rank)] = 0
        return shape

    def tensor(self, shape: list[int], dtype: str = "", fill: str = "", bound: int = 4) -> Operand:
        dtype = dtype or self.choice(["f32"] * 8 + list(DTYPES))
        fill = fill or self.choice(FLOAT_FILLS if dtype in FLOATS else INTEGER_FILLS)
        made = Operand(list(shape), dtype, fill, None, 0, bound, self.random.randrange(1 << 30))
        return self.laid_out(made) if self.chance(0.25) else made

    def index(self, shape: list[int], bound: int, *dtypes: str) -> Operand:
        """Mostly in range, so that the kernel comes further."""
        fill = "within" if self.chance(0.6) else self.choice(INTEGER_FILLS)
        dtype = self.choice([*dtypes] * 6 + ["i64", "i32", "u8", "b", "f32"])
        return self.tensor(shape, dtype, fill, bound)

    def laid_out(self, operand: Operand) -> Operand:
        """The same operand with other strides: permuted, with steps, expanded, off the start."""
        rank, shape = len(operand.shape), operand.shape
        if not rank:
            return operand
        kind = self.choice(
            ["permuted", "channels last", "steps", "expanded", "one expanded", "offset", "padded"]
        )
        strides = dense(shape)
        if kind in ("permuted", "channels last"):
            order = (
                [0, *range(2, rank), 1]
                if kind == "channels last" and rank > 2
                else self.shuffled(range(rank))
            )
            step = 1
            for place in reversed(order):
                strides[place] = step
                step *= max(shape[place], 1)
        elif kind == "steps":
            factor = self.choice([2, 3])
            strides = [stride * factor for stride in strides]
        elif kind == "expanded":
            strides = [0] * rank
        elif kind == "one expanded":
            strides[self.random.randrange(rank)] = 0
        elif kind == "padded":
            last = self.random.randrange(rank)
            strides = [stride * (2 if place <= last else 1) for place, stride in enumerate(strides)]
        else:
            return replace(operand, offset=self.choice([1, 3]))
        made = replace(operand, strides=strides)
        return made if made.room <= LARGEST else operand

    def shuffled(self, things: Any) -> list[Any]:
        made = list(things)
        self.random.shuffle(made)
        return made

    def near(self, shape: list[int]) -> list[int]:
        """A shape that broadcasts with this one, or nearly."""
        made, kind = list(shape), self.random.random()
        if kind < 0.55:
            return made
        if kind < 0.75:
            return [1 if self.chance(0.4) else size for size in made]
        if kind < 0.85:
            return made[self.random.randrange(len(made) + 1) :]
        if kind < 0.9:
            return [self.size(), *made]
        if made:
            made[self.random.randrange(len(made))] = self.size()
        return made

    def axis(self, rank: int) -> int:
        if rank and self.chance(0.93):
            return self.random.randrange(-rank, rank)
        return self.choice([0, -1, rank, -rank - 1, 100, *EXTREMES])

    def whole(self) -> int:
        return self.choice(_SMALL * 3 + EXTREMES)

    def number(self) -> Any:
        return self.choice(_NUMBERS)

    def epsilon(self) -> float:
        return self.choice([1e-5, 1e-5, 1e-5, 0.0, 1.0, -1.0, float("inf"), float("nan"), 1e300])

    def maybe(self, argument: Callable[[], Argument], probability: float = 0.5) -> Argument:
        return argument() if self.chance(probability) else None

    def floating(self) -> str:
        return self.choice(["f32"] * 6 + list(FLOATS))

    # -- calls -------------------------------------------------------------------------------------

    def call(self, template: Template | None) -> tuple[list[Argument], dict[str, Argument]]:
        """Positional and named arguments, by the template if there is one, changed in some places or in
        none."""
        if template is None or self.chance(0.06):
            return self.by_signature()
        args = list(template(self))
        for _ in range(self.choice([0, 0, 1, 1, 1, 2, 3])):
            self.mutate(args)
        by_name = [p.name for p in self.parameters if p.kwarg_only]
        count = len(self.parameters) - len(by_name)
        return args[:count], dict(zip(by_name, args[count:], strict=False))

    def by_signature(self) -> tuple[list[Argument], dict[str, Argument]]:
        base = self.shape()
        args: list[Argument] = []
        kwargs: dict[str, Argument] = {}
        for parameter in self.parameters:
            if parameter.has_default_value() and self.chance(0.35):
                if parameter.kwarg_only:
                    continue
                break
            kind = str(parameter.real_type)
            value = (
                self.tensor(base, self.dtype)
                if parameter.name == "self" and kind == "Tensor"
                else self.argument(parameter.name, kind, base)
            )
            if not parameter.kwarg_only:
                args.append(value)
            elif parameter.name != "pin_memory" and value is not None:
                kwargs[parameter.name] = value
        return args, kwargs

    def argument(self, name: str, kind: str, base: list[int]) -> Argument:
        if kind.startswith("Optional["):
            return self.maybe(lambda: self.argument(name, kind[len("Optional[") : -1], base), 0.55)
        if kind.startswith("List["):
            return self.several(name, kind[len("List[") : -1], base)
        if kind == "Tensor":
            if name != "self" and self.chance(0.03):
                return self.choice([1, 2.5, -1, 0, 2**62])
            if name in ("index", "indices", "target"):
                return self.index(self.near(base), max(base, default=1), "i64")
            dtype = "b" if name in ("condition", "mask") and self.chance(0.8) else self.dtype
            return self.tensor(self.near(base), dtype if self.chance(0.75) else "")
        if kind == "int" and name.startswith("dim"):
            return self.axis(len(base))
        made: dict[str, Callable[[], Argument]] = {
            "bool": lambda: self.chance(0.5),
            "str": lambda: self.choice(sorted(STRINGS.get((self.op, name), {"x"}))),
            "ScalarType": lambda: ["d", self.choice(["f32", "f32", "f64", "i64", *DTYPES])],
            "int": self.whole,
            "float": self.epsilon,
            "number": self.number,
        }
        return made.get(kind, lambda: None)()

    def several(self, name: str, kind: str, base: list[int]) -> Argument:
        if name in ("dim", "dims"):
            count = self.choice([0, 1, 1, 2, len(base)])
            if self.chance(0.6):
                return tuple(self.random.sample(range(len(base)), min(count, len(base))))
            return tuple(self.axis(len(base)) for _ in range(count))
        if name in ("size", "shape", "input_sizes") and self.chance(0.8):
            return tuple(self.shape())
        return tuple(self.argument(name, kind, base) for _ in range(self.choice([0, 1, 1, 2, 2, 3])))

    # -- what nearly fits --------------------------------------------------------------------------

    def other_shape(self, shape: list[int]) -> list[int]:
        made, kind = (
            list(shape),
            self.choice(["one", "one", "off by", "off by", "none", "drop", "add", "swap", "double", "new"]),
        )
        if kind == "new":
            return self.shape()
        if kind == "add":
            made.insert(self.random.randrange(len(made) + 1), self.choice([1, 1, 2, 3]))
            return made
        if not made:
            return [self.size()]
        place = self.random.randrange(len(made))
        if kind == "drop":
            del made[place]
        elif kind == "swap":
            made = self.shuffled(made)
        else:
            made[place] = {"one": 1, "none": 0, "double": 2 * made[place]}.get(
                kind, max(0, made[place] + self.choice([1, -1, 2, -2]))
            )
        return made

    def mutate(self, args: list[Argument]) -> None:
        place = self.random.randrange(len(args))
        args[place] = self.changed(args[place], str(self.parameters[place].real_type), args)

    def changed(self, value: Argument, kind: str, args: list[Argument]) -> Argument:
        if isinstance(value, Operand):
            return self.changed_operand(value, kind)
        if value is None:
            tensors = [each for each in args if isinstance(each, Operand)]
            if "Tensor" in kind and tensors:
                like = self.choice(tensors)
                return self.tensor(self.other_shape(like.shape), like.dtype)
            return self.argument("", kind.removeprefix("Optional[").removesuffix("]"), self.shape())
        if isinstance(value, tuple):
            return self.changed_list(list(value), kind, args)
        if isinstance(value, list):
            return ["d", self.choice(list(DTYPES))]
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.choice([value + 1, value - 1, 0, 1, -1, 2, 3, self.whole(), self.whole()])
        return self.epsilon() if isinstance(value, float) else value

    def changed_operand(self, operand: Operand, kind: str) -> Argument:
        what = self.random.random()
        if what < 0.5:
            return replace(operand, shape=self.other_shape(operand.shape), strides=None, offset=0)
        if what < 0.62:
            return replace(operand, dtype=self.choice(list(DTYPES)))
        if what < 0.74:
            fills = FLOAT_FILLS if operand.dtype in FLOATS else INTEGER_FILLS
            return replace(operand, fill=self.choice(fills))
        if what < 0.92:
            return self.laid_out(replace(operand, strides=None, offset=0))
        return None if kind.startswith("Optional") else self.choice([1, 2.5, 0])

    def changed_list(self, parts: list[Argument], kind: str, args: list[Argument]) -> Argument:
        what = self.random.random()
        place = self.random.randrange(len(parts)) if parts else 0
        if parts and what < 0.7:
            inner = kind.removeprefix("Optional[").removeprefix("List[").rstrip("]")
            parts[place] = self.changed(parts[place], inner, args)
        elif parts and what < 0.8:
            del parts[place]
        elif parts:
            parts.insert(place, parts[place])
        return tuple(parts)
