"""What an attacker finds of a planted participant lies below what the ledger states; a slice of the script."""

from __future__ import annotations

from tests.privacy.canary import audit, stated


def test_the_bound_that_is_found_lies_below_the_stated_one() -> None:
    assert 0 < audit(400, 1, 0.5, 1e-6, seed=1) < stated(0.5, 1, 1e-6)


def test_too_little_noise_is_found() -> None:
    """The audit can fail: a twentieth of the stated noise is noticed."""
    assert audit(400, 1, 0.2, 1e-6, seed=1) > stated(4.0, 1, 1e-6)
