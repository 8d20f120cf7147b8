"""Sums of updates that only the key's holder opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from syft_ext.encrypted.child import LibraryChild
from syft_ext.encrypted.context import EncryptionKeys, library_child
from syft_ext.encrypted.frames import LONGEST_HEAD, frame, read_form
from syft_ext.encrypted.kernel import Kernel
from syft_ext.encrypted.sums import EncryptedSumRules
from syft_ext.errors import BadRequest, Conflict, InvalidConfig, InvalidTensors, Unsupported
from syft_ext.privacy.noise import DiscreteGaussian


@pytest.fixture(scope="module")
def child() -> Iterator[LibraryChild]:
    found = LibraryChild()
    yield found
    found.close()


def rules(keys: EncryptionKeys, **fields: float) -> EncryptedSumRules:
    known = {"length": 2500, "clip": 1.0, "participants": 4, **fields}
    return EncryptedSumRules(context=keys.public.digest, parameters="add4096", **known)  # type: ignore[arg-type]


def test_the_holder_opens_the_sum(keys: EncryptionKeys, child: LibraryChild) -> None:
    agreed = rules(keys)
    rng = np.random.default_rng(1)
    updates = [rng.normal(size=2500) for _ in range(3)]
    total = agreed.added(keys.public, [agreed.encrypted(keys.public, each) for each in updates], child)
    expected = sum(np.clip(each, -1, 1) for each in updates)
    np.testing.assert_allclose(agreed.opened(keys, total, 3), expected, atol=1e-6)
    with pytest.raises(InvalidTensors, match="not 4"):
        agreed.opened(keys, total, 4)


def test_noise_is_in_the_sum_before_it_is_opened(keys: EncryptionKeys, child: LibraryChild) -> None:
    agreed = rules(keys)
    noise = np.arange(2500) / 2500
    sealed = [agreed.encrypted(keys.public, np.full(2500, 0.25)) for _ in range(2)]
    total = agreed.added(keys.public, sealed, child, noise=noise)
    np.testing.assert_allclose(agreed.opened(keys, total, 2), 0.5 + noise, atol=1e-6)


def test_what_could_wrap_around_is_refused_beforehand(keys: EncryptionKeys) -> None:
    with pytest.raises(InvalidConfig, match="4096"):
        rules(keys, clip=1000.0, participants=9).check()
    assert rules(keys, clip=1000.0, participants=4).check()
    for clip in (float("nan"), float("inf"), 0.0, -1.0):
        with pytest.raises(InvalidConfig):
            rules(keys, clip=clip).check()


def test_updates_of_others_are_not_added(
    keys: EncryptionKeys, other_keys: EncryptionKeys, child: LibraryChild
) -> None:
    agreed, theirs = rules(keys), rules(other_keys)
    update = np.zeros(2500)
    foreign = theirs.encrypted(other_keys.public, update)
    mine = agreed.encrypted(keys.public, update)
    with pytest.raises(Conflict, match="another key"):
        agreed.added(keys.public, [mine, foreign], child)
    with pytest.raises(Conflict, match="not the context"):
        agreed.encrypted(other_keys.public, update)
    # One that says it is under the right key: it is found when the sum is opened.
    lying = foreign.replace(other_keys.public.digest.encode(), keys.public.digest.encode())
    total = agreed.added(keys.public, [mine, lying], child)
    with pytest.raises(InvalidTensors, match="another key"):
        agreed.opened(keys, total, 2)
    with pytest.raises(BadRequest, match="another form"):
        agreed.added(keys.public, [rules(keys, clip=2.0).encrypted(keys.public, update)], child)
    with pytest.raises(InvalidConfig, match="5 updates"):
        agreed.added(keys.public, [mine] * 5, child)


def test_what_was_refused_is_in_no_later_sum(keys: EncryptionKeys, child: LibraryChild) -> None:
    agreed = rules(keys, length=40_000)
    update = agreed.encrypted(keys.public, np.full(40_000, 0.25))
    _, start = read_form(update[:LONGEST_HEAD], len(update))
    place = (len(update) - start) // 20
    hollow = bytearray(update)
    hollow[start + place + 8 : start + place + 4000] = bytes(
        3992
    )  # the library refuses the second ciphertext
    short = bytearray(update)
    short[start + 17 * place : start + 17 * place + 4] = b"\x01\0\0\0"  # the 18th is not as long as it says
    for wrong, error in ((hollow, InvalidTensors), (short, BadRequest)):
        with pytest.raises(error):
            agreed.check_update(keys.public, memoryview(wrong), child)
        total = agreed.added(keys.public, [update, update], child)
        np.testing.assert_array_equal(agreed.opened(keys, total, 2), np.full(40_000, 0.5))


def test_a_sum_beside_the_grid_is_told_to_nobody(keys: EncryptionKeys, child: LibraryChild) -> None:
    agreed, library = rules(keys), library_child()
    numbers = np.zeros(2500)
    numbers[2100] = agreed.step / 2  # whether it is rounded up tells the sign of an error
    with library.turn:
        keys.public.opened(library)
        made = b"".join(frame(agreed._form(1.0), library.encrypt(agreed._form(1.0), numbers)))
    agreed.check_update(keys.public, memoryview(made), child)  # ciphertexts do not show it
    honest = agreed.encrypted(keys.public, np.zeros(2500))
    with pytest.raises(InvalidTensors, match="beside the grid"):
        agreed.opened(keys, agreed.added(keys.public, [honest, made], child), 2)
    assert not agreed.opened(keys, agreed.added(keys.public, [honest, honest], child), 2).any()


def test_what_is_not_finite_never_leaves(keys: EncryptionKeys) -> None:
    with pytest.raises(InvalidTensors, match="not finite"):
        rules(keys).encrypted(keys.public, np.full(2500, np.nan))


def test_shares_of_noise_make_the_noise_that_the_rules_name(keys: EncryptionKeys) -> None:
    agreed = rules(keys, length=20_000, norm=1.0, noise=0.5, honest=3)
    shared = agreed.shared_noise
    assert shared is not None and shared.bound * agreed.step <= 1.0
    assert shared.rho(20_000) == pytest.approx(1 / (2 * 0.5**2), rel=1e-6)
    zeros = np.zeros(20_000)
    secrets = [bytes([number]) * 32 for number in range(4)]
    shares = [agreed.steps_of(zeros, secret, [b"cycle 1"]) for secret in secrets]
    for added in (1, 2, 3, 4):  # of which three have the deviation that was named
        found = float((sum(shares[:added]) * agreed.step).std())  # type: ignore[union-attr,operator]
        wanted = 0.5 * (added / 3) ** 0.5
        assert abs(found - wanted) < 5 * wanted / (2 * 20_000) ** 0.5
    reference = DiscreteGaussian(agreed.variance * 3).draws(bytes(32)).take(20_000)
    ours, theirs = np.sort(sum(shares[:3])), np.sort(reference)  # Kolmogorov-Smirnov, 1 in 10^6
    points = np.concatenate([ours, theirs])
    gap = np.abs(np.searchsorted(ours, points, "right") - np.searchsorted(theirs, points, "right")).max()
    assert gap / 20_000 < (np.log(2e6) / 20_000) ** 0.5
    np.testing.assert_array_equal(agreed.steps_of(zeros, secrets[0], [b"cycle 1"]), shares[0])
    assert (agreed.steps_of(zeros, secrets[0], [b"cycle 2"]) != shares[0]).mean() > 0.99
    with pytest.raises(Unsupported, match="secret"):
        agreed.steps_of(zeros, b"short")
    clipped = rules(keys, length=20_000, norm=1.0).steps_of(np.ones(20_000))
    assert int(clipped @ clipped) <= shared.bound**2


def test_how_often_one_changed_number_passes(
    keys: EncryptionKeys, child: LibraryChild, tmp_path: Path
) -> None:
    """A second polynomial with d more opens to d·s more: at one slot, if d is 0 at all others, to a complex number
    of a size that its maker chooses and a direction that is the key's. Such ciphertexts are made here by
    encrypting that number."""
    from tenseal import sealapi

    agreed = rules(keys, length=8)
    kernel = Kernel(keys.set, keys._secret, secret=True)
    context = kernel._context.seal_context().data
    encoder = sealapi.CKKSEncoder(context)
    encryptor = sealapi.Encryptor(context, kernel._context.public_key().data)
    honest = agreed.encrypted(keys.public, np.zeros(8))

    def passes(number: complex) -> bool:
        slots = np.zeros(2048, np.complex128)
        slots[0], slots[5] = 1, number * agreed.step
        plain, made = sealapi.Plaintext(), sealapi.Ciphertext()
        encoder.encode(slots.tolist(), 2.0**keys.set.scale_bits, plain)
        encryptor.encrypt(plain, made)
        made.save(str(tmp_path / "made"))
        update = b"".join(frame(agreed._form(1.0), [(tmp_path / "made").read_bytes()]))
        agreed.check_update(keys.public, memoryview(update), child)
        try:
            found = agreed.opened(keys, agreed.added(keys.public, [honest, update], child), 2)
        except InvalidTensors:
            return False
        assert found[4] == round(number.real) * agreed.step
        return True

    rng = np.random.default_rng(7)

    def drawn(size: float, count: int) -> NDArray[np.complex128]:
        return size * (rng.normal(size=count) + 1j * rng.normal(size=count))

    def beside(numbers: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.maximum(np.abs(numbers.real - np.rint(numbers.real)), np.abs(numbers.imag))

    tried = drawn(0.7, 40)
    tried = tried[np.abs(beside(tried) - 0.125) > 1 / 32]  # errors of encryption decide about the others
    tried[:3] = (2.0 + 0.01j, 2.0 + 0.5j, 1e4 + 0.2j)
    assert [passes(complex(each)) for each in tried] == (beside(tried) < 0.125).tolist()
    # What that makes of the attack: at best 1.6 in 100 tell something, of 16 steps 2 in 1,000.
    for size, most in ((0.5, 0.0125), (0.7, 0.0165), (1.0, 0.016), (16.0, 0.002)):
        numbers = drawn(size, 1_000_000)
        told = float(((beside(numbers) < 0.125) & (np.rint(numbers.real) != 0)).mean())
        assert told < most, (size, told)
