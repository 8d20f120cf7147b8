"""What a tensor is decides what is done with it: whole numbers exactly, statistics averaged only, constants kept.

The property: whatever the dtype, the kind of report, the weights and the strategy, the next model's whole numbers
are the exact rational mean of what the participants had, rounded once; its statistics are their mean within the
stated bound; constants are the model's, bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.aggregation.base import Aggregate, Contribution, Kind
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.magnitude import Magnitude, is_suspicious, largest_of, outlier
from grid.aggregation.mean import WeightedMean
from grid.aggregation.strategies import files
from grid.aggregation.strategies.interface import Strategy
from grid.aggregation.strategies.registry import STRATEGIES, parse_parameters
from grid.aggregation.tensor_file import TensorFile
from grid.aggregation.tensor_stream import TensorStream
from grid.aggregation.whole import LARGEST_WEIGHT, WholeMeans
from grid.privacy.mechanisms.registry import vector_mechanism
from syft_ext.errors import Conflict, InvalidTensors
from syft_ext.tensors import TensorKind, decode_tensors, encode_tensors, kinds_metadata

Tensors = dict[str, torch.Tensor]

WHOLE = [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
STRATEGY_NAMES = ["mean", "fedavgm", "fedadam"]
KINDS: dict[str, TensorKind] = {
    "mean": "statistic",
    "var": "variance",
    "frozen": "constant",
    "steps": "counter",
}


def file_of(tensors: Tensors, kinds: dict[str, TensorKind] | None = None) -> TensorFile:
    return TensorFile(encode_tensors(tensors, kinds_metadata(kinds) if kinds else None))


def report(base: Tensors, trained: Tensors, kind: Kind, weight: float) -> Contribution:
    """As the SDK makes it: a difference is taken in the tensor's own dtype, wrapping around."""
    if kind == "params":
        return Contribution(file_of(trained), weight, kind)
    difference = {
        n: torch.zeros_like(b) if b.dtype is torch.bool else b - trained[n] for n, b in base.items()
    }
    return Contribution(file_of(difference), weight, kind)


def next_model(
    strategy: Strategy, base: TensorFile, reports: Sequence[Contribution], state: bytes | None = None
) -> tuple[Tensors, bytes | None]:
    """The next model as a node writes it, in one go and in pieces, and the state."""
    parameters = parse_parameters(strategy, {})
    aggregator = strategy.aggregator(base, parameters)
    for each in reports:
        aggregator.accumulate(each)
    aggregator.settle()
    return applied(strategy, parameters, base, aggregator.finish(), state)


def applied(
    strategy: Strategy, parameters: Any, base: TensorFile, aggregate: Aggregate, state: bytes | None = None
) -> tuple[Tensors, bytes | None]:
    entries = strategy.state(base.layout, parameters)
    kept = None
    if entries:
        before = None if state is None else TensorFile(state)
        kept = b"".join(files.state_pieces(strategy, entries, base, aggregate, before, parameters))
    write = strategy.next_model(base, aggregate, None if kept is None else TensorFile(kept), parameters)
    pieces = b"".join(files.model_pieces(base, aggregate.runs, write, aggregate))
    whole = bytearray(len(pieces))
    files.fill_model(memoryview(whole), base, aggregate.runs, write, aggregate)
    assert pieces == bytes(whole)
    return decode_tensors(whole), kept


def once(value: Fraction) -> int:
    """Rounded to the nearest whole number, to the even one of two."""
    return round(value)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_whole_numbers_are_the_exact_mean_rounded_once(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(WHOLE))
    info = torch.iinfo(dtype)
    edges = [info.min, info.max, 0, 1, info.max - 1, info.max // 2 + 1]
    number = st.sampled_from(edges) | st.integers(info.min, info.max)
    numbers = st.lists(number, min_size=3, max_size=3)
    base = {"steps": torch.tensor(data.draw(numbers), dtype=dtype), "w": torch.zeros(2)}
    count = data.draw(st.integers(1, 5))
    trained = [
        {"steps": torch.tensor(data.draw(numbers), dtype=dtype), "w": torch.ones(2)} for _ in range(count)
    ]
    weights = [data.draw(st.sampled_from([1, 2, 3, 10_000, 10**9])) for _ in trained]
    kinds: list[Kind] = [data.draw(st.sampled_from(["diff", "params"])) for _ in trained]
    strategy = STRATEGIES.find(data.draw(st.sampled_from(STRATEGY_NAMES)))
    reports = [report(base, *each) for each in zip(trained, kinds, map(float, weights), strict=True)]
    found, _ = next_model(strategy, file_of(base), reports)
    for index in range(3):
        total = sum(w * int(t["steps"][index]) for t, w in zip(trained, weights, strict=True))
        assert int(found["steps"][index]) == once(Fraction(total, sum(weights)))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_statistics_are_averaged_whatever_the_strategy_and_constants_stay(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(FLOATS))
    number = st.floats(-1000, 1000, width=16)
    base = {
        "w": torch.zeros(2, dtype=dtype),
        "mean": torch.tensor([data.draw(number)], dtype=dtype),
        "var": torch.tensor([abs(data.draw(number))], dtype=dtype),
        "frozen": torch.tensor([data.draw(number)], dtype=dtype),
        "mask": torch.tensor([True, False]),
    }
    trained = []
    for _ in range(data.draw(st.integers(1, 4))):
        moved = {name: tensor + 1 for name, tensor in base.items() if name != "mask"}
        moved["mean"] = torch.tensor([data.draw(number)], dtype=dtype)
        moved["var"] = torch.tensor([abs(data.draw(number))], dtype=dtype)
        trained.append({**moved, "mask": base["mask"]})
    kind: Kind = data.draw(st.sampled_from(["diff", "params"]))
    weights = [data.draw(st.integers(1, 1000)) for _ in trained]
    strategy, state = STRATEGIES.find(data.draw(st.sampled_from(STRATEGY_NAMES))), None
    file = file_of(base, {"mean": "statistic", "var": "variance", "frozen": "constant"})
    reports = [report(base, each, kind, float(w)) for each, w in zip(trained, weights, strict=True)]
    for _ in range(2):  # in the second cycle there is momentum
        found, state = next_model(strategy, file, reports, state)
        for name in ("mean", "var"):
            sizes = [abs(float(base[name])), *(abs(float(each[name])) for each in trained)]
            exact = sum(
                Fraction(float(each[name])) * w for each, w in zip(trained, weights, strict=True)
            ) / sum(weights)
            # Differences in the dtype, sums of n, the subtraction, the result in the dtype: a rounding each.
            slack = (len(trained) + 4) * torch.finfo(dtype).eps * max(sizes)
            assert abs(float(found[name]) - float(exact)) <= slack + 1e-7
        assert float(found["var"]) >= 0
        assert torch.equal(found["frozen"], base["frozen"]) and torch.equal(found["mask"], base["mask"])


def test_a_variance_does_not_become_negative_by_rounding() -> None:
    base = {"w": torch.zeros(1), "var": torch.tensor([16777216.0])}
    reports = [
        report(base, {"w": torch.zeros(1), "var": torch.tensor([1e-3])}, "diff", w) for w in (3.0, 7.0)
    ]
    for each in reports:
        assert float(decode_tensors(each.file.view)["var"]) == 16777216.0, "the difference was rounded up"
    mean = WeightedMean(file_of(base, {"var": "variance"}))
    for each in reports:
        mean.accumulate(each)
    aggregate = mean.finish()
    aggregate.values[1] = aggregate.values[1] * np.float32(1.0000002)
    strategy = STRATEGIES.find("mean")
    found, _ = applied(
        strategy, parse_parameters(strategy, {}), file_of(base, {"var": "variance"}), aggregate
    )
    assert float(found["var"]) == 0.0


def test_a_counter_of_floats_is_a_whole_number_afterwards() -> None:
    base = {"w": torch.zeros(1), "steps": torch.tensor([3.0])}
    file = file_of(base, {"steps": "counter"})
    trained = [{"w": torch.zeros(1), "steps": torch.tensor([n])} for n in (4.0, 7.0, 8.0)]
    found, _ = next_model(STRATEGIES.find("fedavgm"), file, [report(base, t, "diff", 1.0) for t in trained])
    assert found["steps"].tolist() == [6.0]


def test_a_strategy_that_moves_everything_moves_parameters_only() -> None:
    class Doubling(Strategy):
        name = "doubling"

        def next_model(self, base: Any, aggregate: Any, state: Any, parameters: Any) -> Any:
            def write(index: int, start: int, stop: int, target: Any) -> None:
                target[:] = 2

            return write

    base = {"w": torch.ones(2), "mean": torch.ones(2), "steps": torch.tensor([5]), "frozen": torch.ones(2)}
    file = file_of(base, {name: KINDS[name] for name in ("mean", "steps", "frozen")})
    trained = {**base, "w": torch.zeros(2), "mean": torch.tensor([3.0, 3.0]), "steps": torch.tensor([9])}
    found, _ = next_model(Doubling(), file, [report(base, trained, "diff", 1.0)])
    assert found["w"].tolist() == [2, 2]
    assert (found["mean"].tolist(), found["steps"].tolist()) == ([3, 3], [9])
    assert found["frozen"].tolist() == [1, 1]


def test_an_aggregator_without_exact_means_keeps_what_does_not_move() -> None:
    big = 2**53 + 1
    base = file_of({"steps": torch.tensor([big, 10])})
    aggregate = Aggregate(base.runs, [np.array([0.0, 2.5])], 1.0, 1, 1.0)
    strategy = STRATEGIES.find("mean")
    found, _ = applied(strategy, parse_parameters(strategy, {}), base, aggregate)
    assert found["steps"].tolist() == [big, 8]


def test_merged_sums_of_whole_numbers_are_exact() -> None:
    base = {"steps": torch.tensor([2**62, -(2**63), 7]), "w": torch.zeros(1)}
    trained = [{"steps": base["steps"] + n, "w": torch.zeros(1)} for n in (1, 2, 6)]
    left, right, empty = (WeightedMean(file_of(base)) for _ in range(3))
    left.accumulate(report(base, trained[0], "diff", 1.0))
    for each in trained[1:]:
        right.accumulate(report(base, each, "params", 1.0))
    left.merge(right)
    left.merge(empty)
    empty.merge(left)
    ((_, numbers),) = empty.finish().whole
    assert numbers.tolist() == [2**62 + 3, -(2**63) + 3, 10]


def test_tensors_in_another_order_are_exact_too_and_others_are_refused() -> None:
    base = {"a": torch.tensor([1, 2]), "b": torch.tensor([2**60 + 1]), "w": torch.zeros(1)}
    shuffled = {name: base[name] + 2 for name in ("w", "b", "a")}
    mean = WeightedMean(file_of(base))
    mean.accumulate(Contribution(file_of(shuffled), 3.0, "params"))
    (_, numbers), *_ = mean.finish().whole
    assert numbers.tolist() == [3, 4, 2**60 + 3]
    whole = WholeMeans(file_of(base))
    with pytest.raises(InvalidTensors, match="'b' is not as in the model"):
        whole.add(Contribution(file_of({"w": torch.zeros(1), "a": base["a"]}), 1.0))


def test_weights_that_do_not_fit_are_refused_before_a_sum_wraps_around() -> None:
    base = {"steps": torch.tensor([2**63 - 1, -(2**63)])}
    whole = WholeMeans(file_of(base))
    whole.add(Contribution(file_of(base), float(LARGEST_WEIGHT), "params"))
    with pytest.raises(Conflict, match="weights"):
        whole.add(Contribution(file_of(base), 1.0, "params"))
    ((_, numbers),), _ = whole.finish()
    assert numbers.tolist() == [2**63 - 1, -(2**63)]


def test_weights_that_are_no_whole_numbers_are_summed_in_double_precision() -> None:
    base = {"steps": torch.tensor([10])}
    one, other = (WholeMeans(file_of(base)) for _ in range(2))
    one.add(Contribution(file_of({"steps": torch.tensor([12])}), 0.5, "params"))
    other.add(Contribution(file_of({"steps": torch.tensor([20])}), 1.5, "params"))
    one.merge(other)
    whole, sums = one.finish()
    assert whole == [] and [values.tolist() for values in sums.values()] == [[10 * 2 - 12 * 0.5 - 20 * 1.5]]


# -- clipping and noise --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, 0.5])
@pytest.mark.parametrize("kind", ["diff", "params"])
def test_clipping_and_noise_are_for_parameters_alone(noise: float | None, kind: Kind) -> None:
    """One counter shrank an update eighty times, and a variance became negative."""
    base = {
        "w": torch.zeros(4),
        "mean": torch.zeros(2),
        "var": torch.full((2,), 1e-6),
        "steps": torch.tensor(5),
        "frozen": torch.ones(3),
    }
    file = file_of(base, KINDS)
    trained = {
        "w": torch.full((4,), -0.25),
        "mean": torch.full((2,), 50.0),
        "var": torch.full((2,), 9.0),
        "steps": torch.tensor(85),
        "frozen": torch.full((3,), 40.0),
    }
    clipped = ClippedMean(file, vector_mechanism(1.0, noise), lambda content: bytes(32))
    for _ in range(3):
        clipped.accumulate(report(base, trained, kind, 1.0))
    strategy = STRATEGIES.find("fedadam")
    found, _ = applied(strategy, parse_parameters(strategy, {}), file, clipped.finish())
    for name in ("mean", "var", "steps", "frozen"):
        assert torch.equal(found[name], base[name]), f"{name} stays here, it is made of rows too"
    plain, _ = applied(
        STRATEGIES.find("mean"),
        parse_parameters(STRATEGIES.find("mean"), {}),
        file,
        _clipped(file, base, trained),
    )
    torch.testing.assert_close(plain["w"], trained["w"], atol=1e-6, rtol=0)


def _clipped(file: TensorFile, base: Tensors, trained: Tensors) -> Aggregate:
    mean = ClippedMean(file, vector_mechanism(1.0, None))
    mean.accumulate(report(base, trained, "diff", 1.0))
    return mean.finish()


# -- absurd, but finite --------------------------------------------------------------------------------


def _magnitudes(base: Tensors, values: Sequence[float], kind: Kind = "diff") -> list[Magnitude]:
    reports = [report(base, {"w": base["w"] - v, "steps": base["steps"]}, kind, 1.0) for v in values]
    return [largest_of(file_of(base), each) for each in reports]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["diff", "params"])
def test_the_largest_number_and_its_tensor_are_found(dtype: torch.dtype, kind: Kind) -> None:
    base = {"w": torch.zeros(3, dtype=dtype), "steps": torch.tensor([10**15])}
    (found,) = _magnitudes(base, [-torch.finfo(dtype).max], kind)
    assert found == Magnitude(torch.finfo(dtype).max, "w")
    (nothing,) = _magnitudes(base, [0.0], kind)
    assert nothing == Magnitude(0.0, "")
    nan = Contribution(file_of({**base, "w": torch.full((3,), float("nan"), dtype=dtype)}), 1.0, kind)
    assert largest_of(file_of(base), nan).size == float("inf")
    with pytest.raises(InvalidTensors, match="'w'"):
        largest_of(file_of(base), Contribution(file_of({"steps": base["steps"]}), 1.0))


def test_who_is_far_beyond_the_others_and_the_model_is_left_out() -> None:
    base = {"w": torch.full((2,), 3.0), "steps": torch.tensor([1])}
    file = file_of(base)
    assert outlier(file, []) is None
    assert outlier(file, _magnitudes(base, [1.0, 1e20, 2.0])) == 1
    assert outlier(file, _magnitudes(base, [1e20])) == 0
    assert outlier(file, _magnitudes(base, [1e20, 1e20, 9e19])) is None, "all of them are so"
    assert outlier(file, _magnitudes(base, [1.0, 1000.0])) is None, (
        "the model is larger than a thousandth of it"
    )
    assert outlier(file_of({**base, "w": torch.full((2,), 1e20)}), _magnitudes(base, [1e20])) is None


@pytest.mark.parametrize("value", [1e13, 1e20, 3e38, float("inf"), float("nan")])
def test_an_absurd_average_is_suspicious(value: float) -> None:
    base = file_of(
        {"w": torch.zeros(2), "c": torch.zeros(1), "steps": torch.tensor([10**15])}, {"c": "constant"}
    )
    values = [np.array([1.0, value], np.float32), np.array([value], np.float32), np.array([1e15])]
    assert is_suspicious(base, Aggregate(base.runs, values, 1.0, 1, 1.0))
    values[0] = np.array([1.0, -2.0], np.float32)
    assert not is_suspicious(base, Aggregate(base.runs, values, 1.0, 1, 1.0))


def test_half_precision_is_suspicious_where_its_squares_overflow() -> None:
    base = file_of({"w": torch.zeros(1, dtype=torch.float16)})
    for value, expected in ((300.0, True), (200.0, False)):
        aggregate = Aggregate(base.runs, [np.array([value * 4], np.float32)], 0.25, 1, 4.0)
        assert is_suspicious(base, aggregate) is expected


@pytest.mark.parametrize("kind", ["diff", "params"])
@pytest.mark.parametrize("clipped", [False, True])
def test_a_report_need_not_have_the_constants(kind: Kind, clipped: bool) -> None:
    base = {
        "frozen": torch.arange(6.0),
        "w": torch.tensor([1.0, 2.0]),
        "mask": torch.tensor([True]),
        "n": torch.tensor([3]),
    }
    trained = base | {"w": torch.tensor([1.5, 1.0]), "n": torch.tensor([5])}
    file = file_of(base, {"frozen": "constant"})
    whole = report(base, trained, kind, 2.0)
    moving = {name: tensor for name, tensor in decode_tensors(whole.file.view).items() if name in ("w", "n")}
    short = Contribution(file_of(moving), 2.0, kind)
    assert largest_of(file, short) == largest_of(file, whole)
    models = []
    for reports in ([whole, short], [short, whole], [short, short]):
        aggregator = WeightedMean(file)
        if clipped:
            aggregator = ClippedMean(file, vector_mechanism(1.0, None))  # type: ignore[assignment]
        for each in reports:
            aggregator.accumulate(each)
        aggregator.settle()
        models.append(applied(STRATEGIES.find("mean"), {}, file, aggregator.finish())[0])
    for model in models:
        assert all(torch.equal(model[name], models[0][name]) for name in base)
        assert torch.equal(model["frozen"], base["frozen"])


def test_what_a_report_must_have_is_what_moves() -> None:
    layout = file_of({"frozen": torch.zeros(3), "w": torch.zeros(2)}, {"frozen": "constant"}).layout
    TensorStream(layout, 1 << 20).feed(encode_tensors({"w": torch.zeros(2)}))
    with pytest.raises(InvalidTensors, match="'w' is missing"):
        TensorStream(layout, 1 << 20).feed(encode_tensors({"frozen": torch.zeros(3)}))


@pytest.mark.parametrize("kind", ["diff", "params"])
@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_all_types_and_forms_in_one_model(name: str, kind: Kind) -> None:
    """Half precision beside counters beyond 2**53, no numbers at all, a scalar, a transposed tensor, truths."""
    grid = torch.arange(6.0).reshape(2, 3)
    base = {
        "bn.running_var": torch.ones(3, dtype=torch.float64),
        "bn.num_batches_tracked": torch.tensor(7),
        "half": torch.full((2,), 1000.0, dtype=torch.float16),
        "brain": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.zeros(0, 4),
        "flag": torch.tensor([True, False]),
        "big": torch.tensor([2**53 + 1, -(2**62)]),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "t.transposed": grid.t(),
    }
    trained = [
        {
            "bn.running_var": base["bn.running_var"] * 10.0**k,
            "bn.num_batches_tracked": base["bn.num_batches_tracked"] + 10 * k + 1,
            "half": base["half"] + k,
            "brain": base["brain"] + k / 4,
            "empty": base["empty"],
            "flag": base["flag"],
            "big": base["big"] + 4 * k,
            "byte": torch.tensor([10 * k, 250], dtype=torch.uint8),
            "t.transposed": (grid + k).t(),
        }
        for k in (1, 2)
    ]
    kinds: dict[str, TensorKind] = {
        "bn.running_var": "variance",
        "bn.num_batches_tracked": "counter",
        **dict.fromkeys(("half", "brain", "t.transposed", "empty"), "statistic"),
    }
    found, _ = next_model(
        STRATEGIES.find(name), file_of(base, kinds), [report(base, t, kind, 1.0) for t in trained]
    )
    assert list(found) == list(base)
    assert {n: (t.dtype, t.shape) for n, t in found.items()} == {
        n: (t.dtype, t.shape) for n, t in base.items()
    }
    assert found["bn.running_var"].tolist() == [55.0] * 3
    assert found["bn.num_batches_tracked"].item() == 23
    assert found["half"].tolist() == [1001.5] * 2
    assert found["brain"].tolist() == [1.375] * 2
    assert found["flag"].tolist() == [True, False]
    assert found["big"].tolist() == [2**53 + 7, -(2**62) + 6]
    assert found["byte"].tolist() == [15, 250]
    assert torch.equal(found["t.transposed"], (grid + 1.5).t())


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 1000)), min_size=1, max_size=9))
def test_the_difference_of_whole_numbers_is_exact_where_doubles_are(parts: list[tuple[int, int]]) -> None:
    """Also where it is small and negative: its limbs are large then, and take each other away."""
    base = file_of({"n": torch.tensor([1000])})
    means = WholeMeans(base)
    for number, weight in parts:
        file = file_of({"n": torch.tensor([1000 + number])})
        means.add(Contribution(file, float(weight), "params"))
    _, sums = means.finish()
    assert sums[base.runs[0]].tolist() == [-sum(number * weight for number, weight in parts)]
