"""The digest that consent to a training is bound to: the same for everybody who computes it, now and later."""

from __future__ import annotations

import struct
from typing import Any

import blake3
import msgspec
import pytest

from syft_ext.messages.training_inputs import CategoryColumn, NumberColumn, TableInputs
from syft_ext.messages.training_reviews import DefinitionFacts, definition_digest

FACTS = DefinitionFacts(
    name="biopsies",
    version="9",
    plans={"training_plan": "a" * 64, "evaluation": "b" * 64},
    protocols={"secure": "c" * 64},
    averaging_plan="",
    client_config={
        "name": "biopsies",
        "version": "9",
        "lr": 0.1,
        "epochs": 1,
        "layers": [1, 2.0, None, True],
    },
    server_config={"num_cycles": 3, "max_diffs": 2, "authentication": {"type": "jwt", "secret": "…"}},
    model="d" * 64,
    tensors=[("weight", "F32", [2, 30]), ("bias", "F32", [2])],
)
VECTOR = "c484cd4ff6d231add6cdd32fb3edc749ff0be0f1db32fd83c024eaffe83fbb5b"


def packed(value: Any) -> bytes:
    """msgpack by hand, with the keys of maps in order of their bytes: what another implementation has to do."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        assert 0 <= value < 128
        return bytes([value])
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        head = bytes([0xA0 | len(raw)]) if len(raw) < 32 else b"\xd9" + bytes([len(raw)])
        return head + raw
    assert len(value) < 16
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode())
        return bytes([0x80 | len(value)]) + b"".join(packed(each) for pair in pairs for each in pair)
    return bytes([0x90 | len(value)]) + b"".join(map(packed, value))


def test_the_digest_is_that_of_the_recorded_vector() -> None:
    assert definition_digest(FACTS) == VECTOR


def test_another_implementation_comes_to_the_same() -> None:
    fields = {"context": "grid training v1", **msgspec.to_builtins(FACTS)}
    assert fields.pop("inputs") is None, "what nobody declared is not in it"
    assert blake3.blake3(packed(fields)).hexdigest() == VECTOR


INPUTS = TableInputs(
    columns=[
        NumberColumn(name="age", unit="years", low=0, high=120.0, centre=50),
        CategoryColumn(name="sex", categories=["f", "m"], one_hot=True),
    ],
    label=CategoryColumn(name="finding", categories=["benign", "malignant"]),
)
VECTOR_OF_INPUTS = "dd399f5111805e00cf00de0e3d0de1317cf0def5e8272c12886c7fcb1d2b7f51"


def test_what_is_declared_of_inputs_is_in_the_digest_and_defaults_are_not() -> None:
    facts = msgspec.structs.replace(FACTS, inputs=INPUTS)
    assert definition_digest(facts) == VECTOR_OF_INPUTS
    fields = {"context": "grid training v1", **msgspec.to_builtins(facts)}
    assert "whole" not in fields["inputs"]["columns"][0], "as it was before there was such a thing"
    assert blake3.blake3(packed(fields)).hexdigest() == VECTOR_OF_INPUTS
    read = msgspec.json.decode(msgspec.json.encode(facts), type=DefinitionFacts)
    assert definition_digest(read) == VECTOR_OF_INPUTS, "0 and 0.0 declare the same"
    turned = msgspec.structs.replace(INPUTS, columns=INPUTS.columns[::-1])
    assert definition_digest(msgspec.structs.replace(FACTS, inputs=turned)) != VECTOR_OF_INPUTS


def test_the_order_in_which_things_were_said_does_not_matter() -> None:
    turned = msgspec.structs.replace(
        FACTS,
        plans=dict(reversed(FACTS.plans.items())),
        client_config=dict(reversed(FACTS.client_config.items())),
    )
    assert definition_digest(turned) == VECTOR


@pytest.mark.parametrize(
    "change",
    [
        {"name": "biopsies2"},
        {"version": "10"},
        {"plans": {**FACTS.plans, "training_plan": "e" * 64}},
        {
            "plans": {"training_plan": "b" * 64, "evaluation": "a" * 64}
        },  # the same files under each other's names
        {"plans": {**FACTS.plans, "secure": "c" * 64}, "protocols": {}},
        {"averaging_plan": "f" * 64},
        {"client_config": {**FACTS.client_config, "lr": 0.2}},
        {"client_config": {**FACTS.client_config, "epochs": 1.0}},
        {"client_config": {**FACTS.client_config, "epochs": True}},
        {"server_config": {**FACTS.server_config, "max_diffs": 1}},
        {"server_config": {"num_cycles": 3, "max_diffs": 2}},
        {"model": "0" * 64},
        {"tensors": list(reversed(FACTS.tensors))},
        {"tensors": [("weight", "F32", [40, 30]), ("bias", "F32", [2])]},
        {"tensors": [("weight", "F64", [2, 30]), ("bias", "F32", [2])]},
        {"tensors": [("rows", "F32", [2, 30]), ("bias", "F32", [2])]},
    ],
    ids=str,
)
def test_nothing_can_change_under_it(change: dict[str, Any]) -> None:
    assert definition_digest(msgspec.structs.replace(FACTS, **change)) != VECTOR
