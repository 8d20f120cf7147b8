"""What every strategy has to pass: a class of its own derives from this one, and says how to make it.

All is in memory here, as an enclave would run it; what a pipeline adds to it is in the other files.
"""

from __future__ import annotations

import mmap
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Aggregator, Contribution
from grid.aggregation.strategies import files
from grid.aggregation.strategies.interface import Parameters, Strategy
from grid.aggregation.strategies.registry import STRATEGIES, parse_parameters
from grid.aggregation.tensor_file import TensorFile
from syft_ext.errors import BadRequest, Conflict, InvalidConfig, Unsupported
from tests.federated.models import decode, encode

Model = dict[str, NDArray[Any]]
CYCLES = 4
REPORTS = 5


def model_of(seed: int, dtype: str = "float32") -> Model:
    random = np.random.default_rng(seed)
    return {
        "a": random.normal(size=(7, 3)).astype(dtype),
        "half": random.normal(size=(4, 4)).astype(np.float16),
        "steps": random.integers(0, 1000, size=(2,)),
        "empty": np.zeros((0, 4), dtype),
        "b": random.normal(size=(5,)).astype(dtype),
        "c": random.normal(size=()).astype(dtype),
    }


def reports_of(cycle: int, dtype: str = "float32") -> list[tuple[Model, float]]:
    return [(model_of(100 * cycle + each, dtype), 1.0 + each) for each in range(REPORTS)]


class StrategyContract:
    """Give it ``name``, and parameters that are not the defaults."""

    name: ClassVar[str]
    set_to: ClassVar[dict[str, Any]] = {}
    #: Its state is the same to the last bit, however the aggregate is divided.
    state_adds_up: ClassVar[bool] = True

    @pytest.fixture
    def strategy(self) -> Strategy:
        return STRATEGIES.find(self.name)

    @pytest.fixture
    def parameters(self, strategy: Strategy) -> Parameters:
        return parse_parameters(strategy, self.set_to)

    def reference(
        self, base: Model, mean: Model, state: Any, parameters: Any
    ) -> tuple[dict[str, NDArray[np.float64]], Any]:
        """The same step in float64, straight from its paper: the next model, and what is kept."""
        raise NotImplementedError

    # -- what it says of itself

    def test_it_is_called_by_its_name_and_says_what_may_be_set(self, strategy: Strategy) -> None:
        assert strategy.name == self.name and isinstance(strategy.under_policy, bool)
        defaults = parse_parameters(strategy, {})
        assert parse_parameters(strategy, msgspec.to_builtins(defaults)) == defaults

    def test_an_unknown_parameter_is_refused_with_those_there_are(self, strategy: Strategy) -> None:
        with pytest.raises(InvalidConfig) as caught:
            parse_parameters(strategy, {**self.set_to, "nonsense": 1})
        known = strategy.parameters.__struct_fields__
        assert caught.value.extra["field"] == "aggregator.parameters.nonsense"
        assert all(name in caught.value.detail for name in known) or "it has none" in caught.value.detail

    def test_each_parameter_has_a_type_and_a_range(self, strategy: Strategy) -> None:
        for name in strategy.parameters.__struct_fields__:
            for value in ("text", None, float("nan"), float("inf"), -1e300, [1]):
                with pytest.raises(InvalidConfig) as caught:
                    parse_parameters(strategy, {**self.set_to, name: value})
                assert caught.value.extra["field"] == f"aggregator.parameters.{name}"

    # -- the step

    def test_it_is_what_its_paper_says(self, strategy: Strategy, parameters: Parameters) -> None:
        base, state, kept = model_of(0, "float64"), None, None
        for cycle in range(1, CYCLES + 1):
            reports = reports_of(cycle, "float64")
            weight = sum(each for _, each in reports)
            mean = {n: sum(w * m[n].astype(np.float64) for m, w in reports) / weight for n in base}
            expected, kept = self.reference(base, mean, kept, parameters)  # type: ignore[arg-type]
            made, state = one_step(strategy, parameters, encode(base), reports, state)
            found = decode(made)
            for name, values in expected.items():
                if base[name].dtype == np.float64:
                    np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-12)
                elif base[name].dtype.kind == "i":
                    assert np.abs(found[name] - values).max() <= 0.5 + 1e-6
                else:
                    np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-3)
            base = found

    def test_only_the_order_of_acceptance_counts(self, strategy: Strategy, parameters: Parameters) -> None:
        """One by one, or many at a time: the same bits."""
        reports = reports_of(1)
        singly = one_step(strategy, parameters, encode(model_of(0)), reports, None, settle=True)
        together = one_step(strategy, parameters, encode(model_of(0)), reports, None)
        assert singly == together

    def test_partial_sums_are_merged(self, strategy: Strategy, parameters: Parameters) -> None:
        base = TensorFile(encode(model_of(0)))
        parts = [Contribution(TensorFile(encode(model)), weight) for model, weight in reports_of(1)]

        def merged(*groups: Sequence[Contribution]) -> NDArray[Any]:
            aggregators = [strategy.aggregator(base, parameters) for _ in groups]
            for aggregator, group in zip(aggregators, groups, strict=True):
                feed(aggregator, group)
            for other in aggregators[1:]:
                aggregators[0].merge(other)
            return flat(aggregators[0].finish())

        whole = merged(parts)
        for groups in (
            (parts[:2], parts[2:]),
            (parts[:1], parts[1:2], parts[2:]),
            ([], parts),
            (parts, []),
            (parts[:2], [], parts[2:]),
        ):
            np.testing.assert_allclose(merged(*groups), whole, rtol=1e-5, atol=1e-6)

    def test_how_the_aggregate_is_divided_makes_no_difference(
        self, strategy: Strategy, parameters: Parameters
    ) -> None:
        model, state = encode(model_of(0)), None
        for cycle in (1, 2):
            whole = one_step(strategy, parameters, model, reports_of(cycle), state)
            by_tensor = one_step(strategy, parameters, model, reports_of(cycle), state, divide=True)
            assert by_tensor[0] == whole[0]
            if self.state_adds_up:
                assert by_tensor[1] == whole[1]
            model, state = whole

    def test_nothing_makes_no_model(self, strategy: Strategy, parameters: Parameters) -> None:
        with pytest.raises(Conflict):
            strategy.aggregator(TensorFile(encode(model_of(0))), parameters).finish()

    def test_taken_up_after_any_step_it_gives_the_same_bits(
        self, strategy: Strategy, parameters: Parameters
    ) -> None:
        """Whoever died left a model and a state; the rest is made again. Each step is done twice."""
        made = [(encode(model_of(0)), None)]
        for cycle in range(1, CYCLES + 1):
            made.append(one_step(strategy, parameters, *_from(made[-1]), cycle=cycle))  # type: ignore[arg-type]
        for start in range(CYCLES):
            model, state = made[start]
            for cycle in range(start + 1, CYCLES + 1):
                one_step(strategy, parameters, model, None, state, cycle=cycle)  # and this one is lost
                again = STRATEGIES.find(self.name)
                model, state = one_step(again, parameters, model, None, state, cycle=cycle)  # type: ignore[assignment]
                assert (model, state) == made[cycle]

    # -- the state

    def test_the_state_is_as_declared(self, strategy: Strategy, parameters: Parameters) -> None:
        base = TensorFile(encode(model_of(0)))
        entries = strategy.state(base.layout, parameters)
        _, state = one_step(strategy, parameters, bytes(base.view), reports_of(1), None)
        if not entries:
            assert state is None
            return
        assert state is not None
        file = TensorFile(state)
        assert [(s.name, s.dtype, s.shape) for s in file.layout.specs] == list(entries)
        files.check_state(file, strategy, entries)
        with pytest.raises(Unsupported):
            files.check_state(file, strategy, [*entries, ("more", "F32", (1,))])
        _, following = one_step(strategy, parameters, bytes(base.view), reports_of(2), state)
        assert following is not None and following != state and len(following) == len(state)

    def test_what_overflows_becomes_no_model(self, strategy: Strategy, parameters: Parameters) -> None:
        huge = {name: np.full_like(values, 3e38) for name, values in _floats(model_of(0)).items()}
        base = {name: np.full_like(values, -3e38) for name, values in huge.items()}
        if strategy.state(TensorFile(encode(base)).layout, parameters) == ():
            with pytest.raises(BadRequest, match="not finite"):
                one_step(strategy, parameters, encode(base), [(huge, 1.0)], None)
            return
        model, state = encode(base), None
        with pytest.raises(BadRequest, match="not finite"):
            for _ in range(200):
                model, state = one_step(strategy, parameters, model, [(huge, 1.0)], state)

    def test_memory_does_not_grow_with_the_model(
        self, strategy: Strategy, parameters: Parameters, tmp_path: Path
    ) -> None:
        """A model of 32 MB: beside its sum there is room for a few windows."""
        numbers = 8 << 20
        path = tmp_path / "model"
        path.write_bytes(encode({"w": np.ones(numbers, np.float32)}))
        base = TensorFile(_map(path))
        aggregate = Aggregate(base.runs, [np.full(numbers, 0.5, np.float32)], 1.0, 1, 1.0)
        entries = strategy.state(base.layout, parameters)
        state: TensorFile | None = None
        tracemalloc.start()
        try:
            for name in ("first", "second"):
                if entries:
                    with (tmp_path / name).open("wb") as file:
                        for piece in files.state_pieces(
                            strategy, entries, base, aggregate, state, parameters
                        ):
                            file.write(piece)
                    state = TensorFile(_map(tmp_path / name))
                write = strategy.next_model(base, aggregate, state, parameters)
                assert sum(len(piece) for piece in files.model_pieces(base, aggregate.runs, write)) == len(
                    base.view
                )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 16 << 20, f"{peak >> 20} MB"


def one_step(
    strategy: Strategy,
    parameters: Parameters,
    model: bytes,
    reports: list[tuple[Model, float]] | None,
    state: bytes | None,
    *,
    cycle: int = 0,
    settle: bool = False,
    divide: bool = False,
) -> tuple[bytes, bytes | None]:
    """One cycle: the files of the next model, and of the next state."""
    base = TensorFile(model)
    aggregator = strategy.aggregator(base, parameters)
    parts = [Contribution(TensorFile(encode(each)), weight) for each, weight in reports or reports_of(cycle)]
    feed(aggregator, parts, settle=settle)
    aggregate = divided(aggregator.finish(), base) if divide else aggregator.finish()
    entries = strategy.state(base.layout, parameters)
    kept = None
    if entries:
        before = None if state is None else TensorFile(state)
        kept = b"".join(files.state_pieces(strategy, entries, base, aggregate, before, parameters))
    write = strategy.next_model(base, aggregate, None if kept is None else TensorFile(kept), parameters)
    pieces = b"".join(files.model_pieces(base, aggregate.runs, write))
    whole = bytearray(len(model))
    files.fill_model(memoryview(whole), base, aggregate.runs, write)
    assert pieces == bytes(whole), "piece by piece as in one go"
    return pieces, kept


def divided(aggregate: Aggregate, base: TensorFile) -> Aggregate:
    """The same, tensor by tensor, as aggregators may divide it that know no longer stretches."""
    runs, values = [], []
    for spec in sorted(base.layout.specs, key=lambda spec: spec.start):
        for (dtype, first, last), numbers in zip(aggregate.runs, aggregate.values, strict=True):
            if first <= spec.start < spec.stop <= last:
                size = (last - first) // len(numbers)
                runs.append((dtype, spec.start, spec.stop))
                values.append(numbers[(spec.start - first) // size : (spec.stop - first) // size])
    return replace(aggregate, runs=runs, values=values)


def feed(aggregator: Aggregator, parts: Sequence[Contribution], *, settle: bool = False) -> None:
    for part in parts:
        aggregator.accumulate(part)
        if settle:
            aggregator.settle()
    aggregator.settle()


def flat(aggregate: Aggregate) -> NDArray[Any]:
    return np.concatenate([values.astype(np.float64) * aggregate.scale for values in aggregate.values])


def _from(made: tuple[bytes, bytes | None]) -> tuple[bytes, None, bytes | None]:
    return made[0], None, made[1]


def _floats(model: Model) -> Model:
    return {name: values for name, values in model.items() if values.dtype == np.float32}


def _map(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE)
        )
