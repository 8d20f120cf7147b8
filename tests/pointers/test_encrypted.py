"""Encrypted values at a Domain: computed with there, opened by whoever has the key and may read all sources."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import torch

import syft_ext as sy
from syft_ext.encrypted.context import library_child
from syft_ext.encrypted.frames import LONGEST_HEAD, frame, read_form
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, OperationFailed
from syft_ext.messages.compute import Put
from syft_ext.messages.policy import SetPolicy, SitePolicy
from tests.pointers.site import Site, seeded


@pytest.fixture(scope="module")
def keys() -> Iterator[sy.EncryptionKeys]:
    yield sy.EncryptionKeys.generate("mul8192")
    library_child().close()


@pytest.fixture(scope="module")
def adding() -> sy.EncryptionKeys:
    return sy.EncryptionKeys.generate("add4096")


@pytest.fixture
def context(north: Site, keys: sy.EncryptionKeys) -> object:
    return keys.public.send(north.sue)


def test_remote_arithmetic_is_numpys(north: Site, keys: sy.EncryptionKeys, context: object) -> None:
    one, other = np.linspace(-2, 2, 30), np.linspace(3, -1, 30)
    x, y = (
        sy.CKKSVector.encrypt(keys, one).send(north.sue),
        sy.CKKSVector.encrypt(keys, other).send(north.sue),
    )
    matrix = np.arange(60.0).reshape(30, 2) / 60
    product = x * y
    for found, expected in (
        (x + y, one + other),
        (x - other, one - other),
        (-x, -one),
        (product, one * other),
        (product + x, one * other + one),  # at two levels: the second operand stays as it was
        (x + x, one + one),
        (x * 0.5, one * 0.5),
        (x.dot(y), [one @ other]),
        (x.dot(other), [one @ other]),
        (x @ matrix, one @ matrix),
    ):
        np.testing.assert_allclose(found.get(keys), expected, atol=1e-4)
    np.testing.assert_allclose(x.get(keys), one, atol=1e-6)  # an operand is fetched and kept like a result
    kept = north.sue.store.describe(y.keep()).get()
    np.testing.assert_allclose(sy.CKKSVector.deserialize(kept).decrypt(keys), other, atol=1e-6)
    a, b = np.ones((2, 3)), np.arange(6.0).reshape(3, 2)
    tensor = sy.CKKSTensor.encrypt(keys, a).send(north.sue)
    np.testing.assert_allclose((tensor @ b).get(keys), a @ b, atol=1e-4)


def test_whole_numbers_are_exact(north: Site) -> None:
    keys = sy.EncryptionKeys.generate("int4096")
    keys.public.send(north.sue)
    x = sy.BFVVector.encrypt(keys, [3, -5, 600]).send(north.sue)
    assert (x * x + x * 2).get(keys).tolist() == [15, 15, 361200]


def test_a_result_is_read_by_whoever_may_read_its_sources(
    north: Site, keys: sy.EncryptionKeys, context: object
) -> None:
    """No detour opens what a grant keeps: not encryption, not an object of the result, not a failure."""
    stored = north.share(seeded(8).double().abs().clamp(max=3.0))
    data = north.sue.pointer(stored.id)
    x = sy.CKKSVector.encrypt(keys, np.ones(8)).send(north.sue)
    with pytest.raises(BadRequest, match="bound"):
        x + data
    hidden = x.mul(data, bound=3.0)
    for what in (hidden, hidden + 1.0, x.dot(data, bound=3.0)):
        with pytest.raises(Forbidden):
            what.get(keys)
        assert what.check_access().missing == [stored.id]
    kept = hidden.keep(description="product")
    with pytest.raises(Forbidden):
        north.sue.store.describe(kept).get()
    with pytest.raises(Forbidden):
        north.sue.pointer(kept).get(keys)
    beyond = x.mul(data, bound=0.001)  # a lie: whether it is one depends on the data
    with pytest.raises(Forbidden):
        beyond.get(keys)
    assert north.sue.store.describe(beyond.keep()).view.size == north.sue.store.describe(kept).view.size
    stored.update(readers=[north.sue.session.user_id])  # type: ignore[union-attr]
    expected = stored.get().numpy()
    np.testing.assert_allclose(hidden.get(keys), expected, atol=1e-5)
    np.testing.assert_allclose(north.sue.pointer(kept).get(keys), expected, atol=1e-5)
    with pytest.raises(OperationFailed, match="larger in magnitude"):
        beyond.get(keys)


def test_an_inner_product_tells_its_key_s_holder_one_number(
    north: Site, keys: sy.EncryptionKeys, context: object
) -> None:
    """Who has the key reads all slots of a ciphertext, whatever its form says: not one number of the data, where
    their inner product was to be read."""
    data = seeded(8).double().abs().clamp(max=3.0)
    stored = north.share(data, read=True)
    x = sy.CKKSVector.encrypt(keys, np.ones(8)).send(north.sue)
    found = x.dot(north.sue.pointer(stored.id), bound=3.0).get()
    wide = msgspec.structs.replace(found.form, shape=[found.form.set.slots], bound=100.0)
    _, start = read_form(found.content[:LONGEST_HEAD], len(found.content))
    slots = sy.CKKSVector(wide, b"".join([*frame(wide, []), found.content[start:]])).decrypt(keys)
    np.testing.assert_allclose(slots, float(data.sum()), atol=1e-4)


def test_an_owner_s_encrypted_object_is_computed_with_and_kept_from_others(
    north: Site, adding: sy.EncryptionKeys
) -> None:
    value = sy.CKKSVector.encrypt(adding, [1.0, 2.0])
    stored = north.share(value.serialize(), kind="he.ckks")
    adding.public.send(north.sue)
    pointer = north.sue.pointer(stored.id)
    total = pointer + pointer
    with pytest.raises(Forbidden):
        total.get(adding)
    request = total.request("a sum")
    north.owner.requests[request.id].approve()
    assert request.refresh().state == "approved"
    np.testing.assert_allclose(total.get(adding), [2.0, 4.0], atol=1e-6)
    with pytest.raises(Forbidden):
        (total + pointer).get(adding)  # that was approved, and nothing else that is computed from the same
    opened = sy.CKKSVector.deserialize(north.sue.store.describe(total.id_at_location).get())
    np.testing.assert_allclose(opened.decrypt(adding), [2.0, 4.0], atol=1e-6)


def test_foreign_keys_and_wrap_around_are_refused_here_and_there(
    north: Site, adding: sy.EncryptionKeys
) -> None:
    other = sy.EncryptionKeys.generate("add4096")
    adding.public.send(north.sue)
    other.public.send(north.sue)
    x = sy.CKKSVector.encrypt(adding, [1000.0]).send(north.sue)
    foreign = sy.CKKSVector.encrypt(other, [1000.0]).send(north.sue)
    with pytest.raises(Conflict, match="different keys"):
        x + foreign
    with pytest.raises(Conflict, match="another key"):
        x.get(other)
    total = x + x + x + x
    with pytest.raises(BadRequest, match="wrap around"):
        total + x
    # A client that does not look: the Domain does.
    foreign.form = x.form
    with pytest.raises(GridError, match="different keys"):
        (x + foreign).get()
    small = sy.CKKSVector.encrypt(adding, [1.0]).form
    total.form = small
    with pytest.raises(GridError, match="wrap around"):
        (total + x).get()


def test_a_secret_key_is_refused_at_the_domain_s_doors(north: Site, adding: sy.EncryptionKeys) -> None:
    with pytest.raises(BadRequest, match=r"keys\.public"):
        sy.send(adding, north.sue)
    head = adding.public.content[: -len(adding.public.content) + 8 + 4 + 8]
    smuggled = head + adding._secret
    with pytest.raises(BadRequest, match="secret key"):
        north.sue.store.put(smuggled, kind="he.context")
    session = north.sue.location.session
    (handle,) = session.record(
        1,
        lambda out: Put(out=out[0], dtype="he.context", shape=[len(smuggled)], offset=0),
        memoryview(smuggled),
    )
    with pytest.raises(GridError, match="secret key"):
        session.fetch([handle])


def test_bytes_of_a_ciphertext_are_no_tensor(north: Site, adding: sy.EncryptionKeys) -> None:
    x = sy.CKKSVector.encrypt(adding, [1.0]).send(north.sue)
    adding.public.send(north.sue)
    y = torch.ones(1).send(north.sue)  # type: ignore[attr-defined]
    y.cell._handle = x._handle
    with pytest.raises(GridError, match="is encrypted"):
        (y + 1).get()


def test_the_policy_names_these_operations_too(north: Site, adding: sy.EncryptionKeys) -> None:
    adding.public.send(north.sue)
    x = sy.CKKSVector.encrypt(adding, [1.0]).send(north.sue)
    north.owner.call(SetPolicy(policy=SitePolicy(allowed_operations=["he.neg"])))
    try:
        with pytest.raises(Forbidden, match="does not allow"):
            (x + x).get(adding)
        np.testing.assert_allclose((-x).get(adding), [-1.0], atol=1e-6)
    finally:
        north.owner.call(SetPolicy(policy=SitePolicy()))
