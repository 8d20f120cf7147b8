"""Trees that only grow: what is taken out, changed or shown otherwise to others is found out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.transparency.log import (
    Inclusion,
    LogEntry,
    TreeHead,
    Witnessed,
    check_head,
    check_included,
    head_over,
)
from syft_ext.confidential.transparency.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from syft_ext.errors import GridError, InvalidStatement
from syft_ext.identity import Identity
from tests.confidential.world import NOW, changed, digest
from tests.shared_material import shared

# -- trees -----------------------------------------------------------------------------------------


def test_published_vectors_of_rfc_6962() -> None:
    vectors = json.loads(shared("confidential", "vectors", "merkle-rfc6962.json").read_text())
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in vectors["leaves"]]
    for size, root in enumerate(vectors["roots"], start=1):
        assert root_of(leaves[:size]).hex() == root
    for case in vectors["inclusion"]:
        some = leaves[: case["size"]]
        path = [bytes.fromhex(each) for each in case["path"]]
        assert inclusion_proof(some, case["index"]) == path
        verify_inclusion(some[case["index"]], case["index"], case["size"], path, root_of(some))
    for case in vectors["consistency"]:
        path = [bytes.fromhex(each) for each in case["path"]]
        some = leaves[: case["to"]]
        assert consistency_proof(some, case["from"]) == path
        verify_consistency(case["from"], root_of(leaves[: case["from"]]), case["to"], root_of(some), path)


@given(size=st.integers(1, 70), data=st.data())
def test_proofs_hold_and_no_others(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([i])) for i in range(size)]
    root = root_of(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    verify_inclusion(leaves[index], index, size, proof, root)
    first = data.draw(st.integers(1, size))
    old, way = root_of(leaves[:first]), consistency_proof(leaves, first)
    verify_consistency(first, old, size, root, way)

    def refused(check: Any, *arguments: Any) -> None:
        with pytest.raises(InvalidStatement):
            check(*arguments)

    refused(verify_inclusion, bytes(32), index, size, proof, root)
    refused(verify_inclusion, leaves[index], index, size, proof, bytes(32))
    refused(verify_inclusion, leaves[index], size, size, proof, root)
    refused(verify_inclusion, leaves[index], index, size, [*proof, bytes(32)], root)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        refused(
            verify_inclusion, leaves[index], index, size, [*proof[:at], bytes(32), *proof[at + 1 :]], root
        )
        refused(verify_inclusion, leaves[index], index, size, proof[:-1], root)
    for other in range(size):
        if other != index:
            refused(verify_inclusion, leaves[index], other, size, proof, root)
    refused(verify_consistency, first, bytes(32), size, root, way)
    refused(verify_consistency, first, old, size, bytes(32), way)
    refused(verify_consistency, size + 1, old, size, root, way)
    refused(verify_consistency, first, old, size, root, [*way, bytes(32)])
    if way:
        at = data.draw(st.integers(0, len(way) - 1))
        refused(verify_consistency, first, old, size, root, [*way[:at], bytes(32), *way[at + 1 :]])
        refused(verify_consistency, first, old, size, root, way[:-1])


def entries(count: int) -> list[LogEntry]:
    return [LogEntry("policy", digest(str(i)), NOW + i, "") for i in range(count)]


def test_a_log_shows_everybody_the_same() -> None:
    keeper, *others = [Identity.generate() for _ in range(4)]
    log, pins = key_of(keeper), [key_of(each) for each in others]

    def witnessed(head: TreeHead, *by: Identity) -> Witnessed:
        return Witnessed(Signed.make(head, keeper), tuple(Signed.make(head, each) for each in by))

    some = entries(9)
    leaves = [leaf_hash(entry.encode()) for entry in some]
    first, second = head_over(log, some[:5], NOW), head_over(log, some, NOW + 1)
    seen = check_head(witnessed(first, *others), log, pins, 2, None, [])
    way = consistency_proof(leaves, 5)
    head = check_head(witnessed(second, *others[:2]), log, pins, 2, seen, way)
    inclusion = Inclusion(some[3], 3, tuple(inclusion_proof(leaves, 3)))
    assert check_included(inclusion, head) == some[3]
    for moved in (
        changed(inclusion, index=4),
        changed(inclusion, entry=some[4]),
        changed(inclusion, proof=()),
    ):
        with pytest.raises(InvalidStatement):
            check_included(moved, head)

    def refused(given: Witnessed, seen: TreeHead | None = seen, way: list[bytes] = way) -> None:
        with pytest.raises(GridError):
            check_head(given, log, pins, 2, seen, way)

    rewritten = head_over(log, [*some[:2], *some[3:], *entries(1)], NOW + 1)
    refused(witnessed(second, others[0]))
    refused(witnessed(second, others[0], others[0]))
    refused(witnessed(second, keeper, others[0]))
    refused(witnessed(second, Identity.generate(), others[0]))
    refused(witnessed(rewritten, *others))  # taken back
    refused(witnessed(first, *others), second)  # shorter
    refused(witnessed(head_over(pins[0], some, NOW), *others))
    refused(Witnessed(Signed.make(second, others[0]), witnessed(second, *others).witnesses))
    split = Witnessed(Signed.make(second, keeper), witnessed(rewritten, *others).witnesses)
    refused(split)
