"""Forms, frames and contexts: what is refused without the library, and without a key."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.forms import OPERATIONS, Form, Plain, result_form
from syft_ext.encrypted.frames import KINDS, check_frame, context_frame, digest_of_context, read_context
from syft_ext.encrypted.values import CKKSVector
from syft_ext.encrypted.wire import field_of, tagged
from syft_ext.errors import BadRequest, Conflict, GridError, Unsupported
from syft_ext.store.content import decode
from syft_ext.store.memory import MemoryStore
from syft_ext.store.objects import StorableObject


def form(parameters: str = "add4096", bound: float = 1.0, context: str = "0" * 64, **more: object) -> Form:
    fields = {"layout": "vector", "shape": [4], **more}
    return Form(parameters=parameters, context=context, bound=bound, **fields)  # type: ignore[arg-type]


def test_nine_times_a_thousand_would_wrap_around_and_is_refused() -> None:
    total = form(bound=1000.0)
    for _ in range(3):
        total = result_form("he.add", total, form(bound=1000.0))
    assert total.bound == 4000.0
    with pytest.raises(BadRequest, match="wrap around"):  # the ninth would have been -7384
        result_form("he.add", total, form(bound=1000.0))


def test_values_under_two_keys_do_not_meet() -> None:
    with pytest.raises(Conflict, match="different keys"):
        result_form("he.add", form(), form(context="1" * 64))


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), -1.0, 4097.0])
def test_a_bound_is_finite_and_within_the_range(bound: float) -> None:
    with pytest.raises(BadRequest):
        form(bound=bound).check()
    with pytest.raises(BadRequest):
        result_form("he.add_plain", form(), Plain((4,), bound))


def test_what_parameters_cannot_do_is_said_before_anything_runs() -> None:
    with pytest.raises(Unsupported, match="no room for a product"):
        result_form("he.mul", form(), form())
    with pytest.raises(Unsupported, match="Galois"):
        result_form("he.dot", form(), form())
    deep = result_form("he.mul", form("mul8192"), form("mul8192"))
    deeper = result_form("he.mul", deep, deep)
    assert (deep.depth, deeper.depth) == (1, 2)
    with pytest.raises(Unsupported, match="another product"):
        result_form("he.mul", deeper, form("mul8192"))


@given(
    st.sampled_from(sorted(OPERATIONS)),
    st.sampled_from(["add4096", "mul8192", "int4096"]),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
)
def test_no_result_is_ever_beyond_the_range(
    operation: str, parameters: str, one: float, other: float
) -> None:
    left, right = form(parameters, one), form(parameters, other)
    operand = None if operation == "he.neg" else Plain((4,), other) if operation.endswith("_plain") else right
    try:
        found = result_form(operation, left.check(), operand)
    except GridError:
        return
    assert found.bound <= found.set.ranges[found.depth]
    assert found.bound >= (one * other if "mul" in operation or "dot" in operation else one)


def test_a_secret_key_is_refused_at_every_door(keys: EncryptionKeys) -> None:
    """Whoever wraps one as a public context finds it refused where a frame is made, read, stored and encoded."""
    public = bytes(read_context(keys.public.content)[1])
    head = keys.public.content[: -len(public)]
    smuggled = head + keys._secret
    inside = tagged(1, field_of(public, 1)) + tagged(2, bytes(field_of(public, 2)) + tagged(9, b"secret"))
    twice = public + tagged(2, field_of(keys._secret, 2))
    for message in (smuggled, head + inside, head + twice, head + public + tagged(7, b"x")):
        with pytest.raises(BadRequest):
            read_context(message)
        with pytest.raises(BadRequest):
            decode("he.context", memoryview(message))
        with pytest.raises(BadRequest):
            StorableObject(id="0" * 32, kind="he.context", data=message)
    with pytest.raises(BadRequest, match="secret key"):
        context_frame("add4096", keys._secret)
    with pytest.raises(BadRequest, match=r"keys\.public"):
        keys.send("a domain")
    with pytest.raises(BadRequest, match="cannot be stored"):
        StorableObject(id="0" * 32, data=keys)  # type: ignore[arg-type]
    with pytest.raises(BadRequest):
        import pickle

        pickle.dumps(keys)


def test_stores_keep_contexts_and_values(keys: EncryptionKeys) -> None:
    value = CKKSVector.encrypt(keys, [1.0, 2.0])
    store = MemoryStore()
    for number, (kind, content) in enumerate(
        [("he.context", keys.public.content), ("he.ckks", value.serialize())]
    ):
        store.put(StorableObject(id=f"{number:032x}", kind=kind, data=content))
        found = store.get_object(f"{number:032x}")
        assert found is not None and found.data == content
    assert {"he.context", "he.ckks"} < KINDS
    with pytest.raises(BadRequest, match="is of kind"):
        check_frame("he.bfv", memoryview(value.serialize()))


def test_parameters_from_the_wire_are_none(keys: EncryptionKeys) -> None:
    public = bytes(read_context(keys.public.content)[1])
    for name in (b"mine", b"mul8192", b"int4096"):
        header = msgspec.msgpack.encode(name.decode())
        framed = keys.public.content[:8] + len(header).to_bytes(4, "little") + header + public
        with pytest.raises(GridError):
            read_context(framed)
    assert digest_of_context(keys.public.content) == keys.public.digest


@pytest.mark.parametrize("cut", [0, 7, 11, 40, 3000])
def test_a_frame_that_is_cut_off_is_refused(keys: EncryptionKeys, cut: int) -> None:
    content = CKKSVector.encrypt(keys, [1.0]).serialize()
    for broken in (content[:cut], content + b"x", b"x" + content[1:]):
        with pytest.raises(GridError):
            check_frame("he.ckks", memoryview(broken))
