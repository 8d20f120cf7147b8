"""One operation with plain data, or another's encrypted ones, tells the key's holder as many numbers as its
result has.

Who has the key reads all slots of each ciphertext, and can put a question into each slot of one that they send.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.kernel import Ciphertexts, Kernel
from syft_ext.encrypted.parameters import parameters_of
from syft_ext.errors import Unsupported

SET = parameters_of("mul8192")
SECRET = np.arange(1.0, 25.0).reshape(6, 4) / 25


@pytest.fixture(scope="module")
def holder() -> Iterator[Kernel]:
    secret, _ = Kernel.keys("mul8192")
    yield Kernel(SET, secret, secret=True)


@pytest.fixture(scope="module")
def domain(holder: Kernel) -> Kernel:
    public = holder._context.serialize(save_galois_keys=True, save_relin_keys=True, save_public_key=True)
    return Kernel(SET, public)


def form(layout: str, *shape: int, bound: float = 1.0) -> Form:
    return Form(layout=layout, parameters="mul8192", context="0" * 64, shape=list(shape), bound=bound)  # type: ignore[arg-type]


def crafted(holder: Kernel, wanted: Form, seed: int) -> Ciphertexts:
    """Of this form, and with another number in every slot."""
    rng = np.random.default_rng(seed)
    whole = form("vector", SET.slots)
    pieces = [holder.encrypt(whole, rng.uniform(-1, 1, SET.slots))[0] for _ in range(wanted.ciphertexts)]
    return holder.read(wanted, pieces)


def slots(holder: Kernel, domain: Kernel, value: Ciphertexts) -> list[Any]:
    """All that the holder reads of each ciphertext."""
    wide = msgspec.structs.replace(form("vector", SET.slots), bound=2.0**17, depth=value.form.depth)
    return [holder.decrypt(wide, [piece]) for piece in domain.write(value)]


def told(found: Any) -> int:
    """Numbers that are not nothing, equal ones once."""
    rounded = np.round(found[np.abs(found) > 1e-4], 4)
    return len(np.unique(rounded))


def test_a_vector_and_a_plain_matrix(holder: Kernel, domain: Kernel) -> None:
    sent = crafted(holder, form("vector", 6), 1)
    (found,) = slots(holder, domain, domain.apply("he.matmul_plain", sent, SECRET, 1.0))
    assert told(found) <= 4 and not np.abs(found[4:]).max() > 1e-4


def test_tensors_and_plain_ones(holder: Kernel, domain: Kernel) -> None:
    sent = crafted(holder, form("tensor", 1, 6), 2)
    for found in slots(holder, domain, domain.apply("he.matmul_plain", sent, SECRET, 1.0)):
        assert told(found) <= 1
    wide = crafted(holder, form("tensor", 6, 4), 3)
    for found in slots(holder, domain, domain.apply("he.mul_plain", wide, SECRET, 1.0)):
        assert told(found) <= 1


@pytest.mark.parametrize("data", ["plain", "encrypted"])
def test_an_inner_product_tells_one_number(holder: Kernel, domain: Kernel, data: str) -> None:
    wanted = form("vector", 24)
    sent = crafted(holder, wanted, 5)
    if data == "plain":
        (found,) = slots(holder, domain, domain.apply("he.dot_plain", sent, SECRET.reshape(-1), 1.0))
    else:
        theirs = domain.read(wanted, domain.encrypt(wanted, SECRET.reshape(-1)))
        (found,) = slots(holder, domain, domain.apply("he.dot", sent, theirs, 0.0))
    assert np.ptp(found) < 1e-3


def test_products_of_encrypted_matrices_tell_their_numbers(holder: Kernel, domain: Kernel) -> None:
    theirs = domain.read(form("tensor", 6, 4), domain.encrypt(form("tensor", 6, 4), SECRET))
    sent = crafted(holder, form("tensor", 1, 6), 6)
    for found in slots(holder, domain, domain.apply("he.matmul", sent, theirs, 0.0)):
        assert told(found) <= 1


def test_honest_results_are_what_they_were(holder: Kernel, domain: Kernel) -> None:
    rng = np.random.default_rng(7)
    x, a = rng.uniform(-1, 1, 6), rng.uniform(-1, 1, (3, 6))
    vector = domain.read(form("vector", 6), domain.encrypt(form("vector", 6), x))
    tensor = domain.read(form("tensor", 3, 6), domain.encrypt(form("tensor", 3, 6), a))

    def opened(value: Ciphertexts) -> Any:
        return holder.decrypt(value.form, domain.write(value))

    products = domain.apply("he.matmul_plain", vector, SECRET, 1.0)
    np.testing.assert_allclose(opened(products), x @ SECRET, atol=1e-4)
    wide = domain.apply("he.matmul_plain", tensor, SECRET, 1.0)
    np.testing.assert_allclose(opened(wide), a @ SECRET, atol=1e-4)
    squared = domain.apply("he.mul", wide, wide, 0.0)
    np.testing.assert_allclose(opened(squared), (a @ SECRET) ** 2, atol=1e-3)
    shifted = domain.apply("he.add_plain", tensor, a, 1.0)
    np.testing.assert_allclose(opened(domain.apply("he.mul_plain", shifted, a, 1.0)), 2 * a * a, atol=1e-4)
    np.testing.assert_allclose(opened(domain.apply("he.sub_plain", tensor, 2 * a, 2.0)), -a, atol=1e-4)
    inner = domain.apply("he.dot", vector, vector, 0.0)
    np.testing.assert_allclose(opened(inner), [x @ x], atol=1e-3)
    square = rng.uniform(-1, 1, (6, 2))
    other = domain.read(form("tensor", 6, 2), domain.encrypt(form("tensor", 6, 2), square))
    np.testing.assert_allclose(opened(domain.apply("he.matmul", tensor, other, 0.0)), a @ square, atol=1e-3)
    later = domain.apply("he.mul_plain", vector, x, 1.0)
    for mixed in (later, domain.apply("he.add_plain", vector, x, 1.0)):
        with pytest.raises(Unsupported, match="encrypt the vector anew"):
            domain.apply("he.matmul_plain", mixed, SECRET, 1.0)
    with pytest.raises(Unsupported, match="no room"):
        domain.apply("he.dot", later, later, 0.0)
