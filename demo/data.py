"""Real data, as two hospitals would hold it: parts that differ, and a held-out set that nobody trains on.

Wisconsin breast cancer (569 biopsies, UCI) and handwritten digits (1,797 scans, UCI): scikit-learn ships both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets

import syft_ext as sy

__all__ = ["Part", "Study", "breast_cancer", "digits"]

Array = NDArray[Any]
HELD_OUT = 0.25


@dataclass(frozen=True)
class Part:
    """What one Worker's machine holds. x: float32 [n, …]; y: int64 [n]."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Study:
    """A dataset, split over four Workers of two hospitals.

    Attributes:
        parts: North's two Workers first, then South's two.
        test: the held-out set, drawn at random before anything was split.
        columns: name and published range (low, high) of every feature; empty for images.
        split: in words, how the parts differ.
    """

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    parts: tuple[Part, Part, Part, Part]
    test: Part
    classes: int
    columns: tuple[tuple[str, float, float], ...]
    split: str

    def site(self, index: int) -> Part:
        """Everything that one hospital has: 0 = North, 1 = South."""
        return join(self.parts[2 * index : 2 * index + 2])

    def everything(self) -> Part:
        return join(self.parts)

    def inputs(self) -> sy.TableInputs | sy.ArrayInputs:
        """What a model of it takes: columns by name, or pictures; classes by word."""
        label = sy.CategoryColumn(name="label", categories=[str(number) for number in range(self.classes)])
        if not self.columns:
            shape = list(self.test.x.shape[1:])
            return sy.ArrayInputs(shape=shape, low=0, high=1, label=label)
        columns: list[sy.NumberColumn | sy.CategoryColumn] = [
            sy.NumberColumn(name=name, low=low, high=high) for name, low, high in self.columns
        ]
        return sy.TableInputs(columns=columns, label=label)


def join(parts: tuple[Part, ...]) -> Part:
    return Part(torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]))


def _part(x: Array, y: Array, rows: Array) -> Part:
    return Part(
        torch.from_numpy(np.ascontiguousarray(x[rows], dtype=np.float32)),
        torch.from_numpy(np.ascontiguousarray(y[rows], dtype=np.int64)),
    )


def _hold_out(count: int, seed: int) -> tuple[Array, Array]:
    order = np.random.default_rng(seed).permutation(count)
    cut = int(count * HELD_OUT)
    return order[:cut], order[cut:]


def breast_cancer(seed: int = 7) -> Study:
    """Split by one feature: the hospitals see nuclei of different outlines, hence different case mixes.

    A split at which neither hospital alone has all there is to learn, chosen for that: it shows what federation is
    for, and is no evidence of how much it gains elsewhere.
    """
    data = datasets.load_breast_cancer()
    single = data.data.astype(
        np.float32
    )  # as hospitals have the rows: ranges in 64 bits would leave some out
    test, train = _hold_out(len(data.target), seed)
    feature = list(data.feature_names).index("mean smoothness")
    ranked = train[np.argsort(data.data[train, feature], kind="stable")]
    # North's Workers hold the even outlines, South's the uneven ones; the middle is shared out in turn.
    low, middle, high = np.split(ranked, [len(ranked) * 4 // 10, len(ranked) * 5 // 10])
    north, south = np.concatenate([low, middle[::2]]), np.concatenate([high, middle[1::2]])
    rows = (north[::2], north[1::2], south[::2], south[1::2])
    return Study(
        name="wisconsin-breast-cancer",
        title="Breast cancer",
        description="Cell nuclei in biopsies: malignant (0) or benign (1).",
        tags=("oncology", "biopsy", "tabular"),
        parts=tuple(_part(data.data, data.target, r) for r in rows),  # type: ignore[arg-type]
        test=_part(data.data, data.target, test),
        classes=2,
        columns=tuple(
            (str(name), float(low_), float(high_))
            for name, low_, high_ in zip(data.feature_names, single.min(0), single.max(0), strict=True)
        ),
        split="by outline: North has the even nuclei, South the uneven",
    )


def digits(seed: int = 7) -> Study:
    """Split by label: 85 % of what a hospital scans are the digits of its own half."""
    data = datasets.load_digits()
    test, train = _hold_out(len(data.target), seed)
    random = np.random.default_rng(seed)
    own = random.random(len(train)) < 0.85
    low = data.target[train] < 5
    north, south = train[low == own], train[low != own]
    rows = (north[::2], north[1::2], south[::2], south[1::2])
    images = data.images[:, None] / 16.0
    return Study(
        name="handwritten-digits",
        title="Digits",
        description="8 × 8 scans of digits on patient forms, labelled 0 to 9.",
        tags=("handwriting", "images", "forms"),
        parts=tuple(_part(images, data.target, r) for r in rows),  # type: ignore[arg-type]
        test=_part(images, data.target, test),
        classes=10,
        columns=(),
        split="by label: 85 % of North's are 0-4, of South's 5-9",
    )
