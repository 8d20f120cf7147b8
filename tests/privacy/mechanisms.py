"""What every privacy mechanism has to pass: a class of its own derives from this one, and says how to make it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.privacy.mechanisms.registry import MECHANISMS, ChosenMechanism, choose_mechanism
from syft_ext.errors import InvalidConfig, Unsupported

Values = NDArray[Any]
DRAWS = 40_000
KEY = bytes(range(32))


class MechanismContract:
    """``set_to``: parameters. ``deviation``: the noise's standard deviation under them."""

    name: ClassVar[str]
    set_to: ClassVar[dict[str, Any]]
    deviation: ClassVar[float]

    @pytest.fixture
    def chosen(self) -> ChosenMechanism:
        return choose_mechanism(self.name, **self.set_to)

    def contribution(self, chosen: ChosenMechanism, size: float) -> Values:
        """A contribution that is ``size`` times as large as its bound, or its largest number is."""
        random = np.random.default_rng(7)
        values = random.normal(size=64)
        unit = float(chosen.restore(np.ones(1, chosen.mechanism.numbers))[0])
        values *= size * chosen.bound() * unit / self.measured(chosen, values)
        return values if chosen.mechanism.sensitivity == "l2" else np.rint(values).astype(np.int64)

    def measured(self, chosen: ChosenMechanism, values: Values) -> float:
        """Its size, as the mechanism's sensitivity has it."""
        wide = values.astype(np.float64)
        if chosen.mechanism.sensitivity == "l2":
            return float(np.linalg.norm(wide))
        return float(np.abs(wide).max())

    def clipped(self, chosen: ChosenMechanism, values: Values, cuts: tuple[int, ...] = ()) -> Values:
        """What is left of it, given in parts, in what is summed."""
        measured = chosen.measure(lambda: [part.copy() for part in np.split(values, cuts)])
        parts = [chosen.clip(part.copy(), measured) for part in np.split(values, cuts)]
        assert {part.dtype for part in parts} == {np.dtype(chosen.mechanism.numbers)}
        return np.concatenate(parts)

    # -- what it says of itself

    def test_it_declares_what_it_is(self, chosen: ChosenMechanism) -> None:
        mechanism = chosen.mechanism
        assert mechanism is MECHANISMS.find(self.name) and mechanism.name == self.name
        assert mechanism.numbers in ("float64", "int64") and mechanism.sensitivity in ("l2", "number")
        assert not (mechanism.exact and mechanism.numbers == "float64"), "float noise is not exact"

    def test_parameters_are_checked(self, chosen: ChosenMechanism) -> None:
        with pytest.raises(InvalidConfig, match="no parameter 'nonsense'") as caught:
            choose_mechanism(self.name, **self.set_to, nonsense=1)
        assert caught.value.extra["field"] == "nonsense"
        for name in chosen.parameters.__struct_fields__:
            for value in (0, -1.0, "1", None, float("nan"), float("inf"), True):
                with pytest.raises(InvalidConfig) as caught:
                    choose_mechanism(self.name, **{**self.set_to, name: value})
                assert caught.value.extra["field"] == name
            with pytest.raises(InvalidConfig, match=name):
                choose_mechanism(self.name, **{k: v for k, v in self.set_to.items() if k != name})

    # -- before the sum

    @pytest.mark.parametrize("size", [0.0, 0.1, 0.999, 1.5, 40.0])
    def test_no_contribution_is_larger_than_the_sensitivity(
        self, chosen: ChosenMechanism, size: float
    ) -> None:
        values = self.contribution(chosen, size)
        clipped = self.clipped(chosen, values)
        if chosen.mechanism.exact:
            squares = sum(int(number) ** 2 for number in clipped)
            largest = max(abs(int(number)) for number in clipped)
            assert (squares if chosen.mechanism.sensitivity == "l2" else largest**2) <= int(
                chosen.bound()
            ) ** 2
        assert self.measured(chosen, clipped) <= chosen.bound() * (1 + 1e-12)
        restored = chosen.restore(clipped.copy())
        step = float(chosen.restore(np.ones(1, clipped.dtype))[0]) if chosen.mechanism.exact else 0.0
        if size < 1:
            np.testing.assert_allclose(restored, values, rtol=0, atol=step / 2)
        else:
            assert self.measured(chosen, clipped) >= chosen.bound() * (1 - 1e-5)
            assert (np.sign(clipped) == np.sign(values))[clipped != 0].all()

    def test_in_parts_it_is_clipped_as_a_whole(self, chosen: ChosenMechanism) -> None:
        whole = self.contribution(chosen, 3.0)
        rtol = 0.0 if chosen.mechanism.exact else 1e-12
        parts = self.clipped(chosen, whole, (0, 10, 11, 40))
        np.testing.assert_allclose(parts, self.clipped(chosen, whole), rtol=rtol)

    # -- after it

    def draw(self, chosen: ChosenMechanism, count: int = DRAWS) -> Values:
        """So many numbers of noise, from a key, as what they stand for."""
        values = np.zeros(count, chosen.mechanism.numbers)
        chosen.noise(KEY if chosen.mechanism.repeatable else None).add(values)
        return chosen.restore(values)

    def test_the_noise_is_of_the_stated_size(self, chosen: ChosenMechanism) -> None:
        noise = self.draw(chosen)
        spread = self.deviation / np.sqrt(len(noise))
        assert abs(noise.mean()) <= 4 * spread
        assert noise.std() == pytest.approx(self.deviation, rel=0.03, abs=0)
        if self.deviation:
            centred = noise - noise.mean()
            correlation = float((centred[1:] * centred[:-1]).mean()) / self.deviation**2
            assert abs(correlation) < 5 / np.sqrt(len(noise)), "each number has its own"

    def test_it_is_added(self, chosen: ChosenMechanism) -> None:
        if not chosen.mechanism.repeatable:
            return
        values, noise = (np.zeros(100, chosen.mechanism.numbers) for _ in range(2))
        values += np.arange(100, dtype=values.dtype)
        chosen.noise(KEY).add(values)
        chosen.noise(KEY).add(noise)
        np.testing.assert_allclose(values, np.arange(100) + noise, rtol=1e-12)

    def test_every_release_has_its_own(self, chosen: ChosenMechanism) -> None:
        one, other = (np.zeros(200, chosen.mechanism.numbers) for _ in range(2))
        chosen.noise().add(one)
        chosen.noise().add(other)
        assert bool((one != other).any()) == bool(self.deviation)

    def test_a_key_repeats_it_or_is_refused(self, chosen: ChosenMechanism) -> None:
        if not chosen.mechanism.repeatable:
            with pytest.raises(Unsupported):
                chosen.noise(KEY)
            return
        drawn = []
        for key in (KEY, KEY, KEY[::-1]):
            values = np.zeros(100_000, chosen.mechanism.numbers)
            chosen.noise(key).add(values)
            drawn.append(values)
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert bool((drawn[0] != drawn[2]).any()) == bool(self.deviation)
