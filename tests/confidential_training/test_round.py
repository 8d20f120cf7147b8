"""Rounds as they should go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grid.confidential.outputs import SealedOutputs
from grid.confidential.tables import ConfidentialOutput
from grid.federated.state.tables import TrainingProcess
from grid.quotas.usage import usage_of
from grid.storage.objects.tables import BlobRow
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.documents import with_readable_policy
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.receipts import ReceiptBundle, check_receipt
from tests.confidential_training.conftest import MODEL, changes, on_the_grid
from tests.confidential_training.consortium import GRID_BITS, Consortium, until


@pytest.mark.postgres
def test_a_round_on_postgresql(
    tmp_path: Path,
    postgresql_url: str,
    plans: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    own_folder: Path,
) -> None:
    home = Consortium(tmp_path, monkeypatch, database_url=postgresql_url, hosts=2)
    try:
        process_id = home.host(MODEL, home.approve(home.policy(plans)), plans, num_cycles=2)
        for cycle in (1, 2):
            for number, each in enumerate(changes(2, cycle)):
                home.join(f"hospital {number}").report(each)
            home.completed(process_id, cycle)
        assert home.status(process_id).status == "completed"
        assert home.client.confidential.receipt(process_id, 3).simulated
    finally:
        home.close()


def test_a_round_is_the_mean_on_the_grid(home: Consortium, plans: dict[str, bytes]) -> None:
    signed = home.approve(home.policy(plans))
    process_id = home.host(MODEL, signed, plans)
    given = changes(2)
    for number, each in enumerate(given):
        home.join(f"hospital {number}").report(each)
    view = home.completed(process_id)
    assert view.status == "completed"
    page = home.client.trainings.find("t", "1").review()
    shown = with_readable_policy(page.facts.server_config)["confidential"]
    assert shown["digest"] == signed.digest_as(ConfidentialPolicy).hex()
    assert shown["mechanism"]["clip_norm"] == 1
    model, counted = home.model(), [on_the_grid(each) for each in given]
    for name, before in MODEL.items():
        mean = sum(each[name] for each in counted) / 2 / 2**GRID_BITS
        assert np.array_equal(model[name].numpy(), before.numpy() - mean.astype(np.float32)), name

    receipt = home.client.confidential.receipt(process_id, 2)
    policy = signed.open(ConfidentialPolicy, key_of(home.owner))
    manifest = Signed.decode(receipt.manifest).open(Manifest, key_of(home.domain.node.identity))
    found = check_receipt(ReceiptBundle.decode(receipt.receipt), policy, manifest)
    assert (found.participants, found.bad_seals, receipt.simulated) == (2, 0, True)
    (only,) = home.client.confidential.rounds(process_id).rounds
    assert (only.state, only.sequence, only.cycle, only.checkpoint, only.uploads) == ("released", 1, 1, 2, 2)


@pytest.mark.parametrize("cycles", [3])
def test_round_follows_round(home: Consortium, plans: dict[str, bytes], cycles: int) -> None:
    signed = home.approve(home.policy(plans, **home.noisy(0.001, cycles)))
    process_id = home.host(MODEL, signed, plans, name="many", num_cycles=cycles)
    for cycle in range(1, cycles + 1):
        for number, each in enumerate(changes(2, cycle)):
            home.join(f"hospital {number}", "many").report(each)
        home.completed(process_id, cycle)
    assert home.status(process_id).status == "completed"
    found = home.client.confidential.rounds(process_id).rounds
    assert [each.checkpoint for each in found if each.state == "released"] == [2, 3, 4]


def test_what_is_over_is_not_kept(home: Consortium, plans: dict[str, bytes]) -> None:
    """Three stores, three times: sealed reports go with their round, sealed outputs after ``aggregates_kept``,
    models stay."""
    process_id = home.host(MODEL, home.approve(home.policy(plans)), plans, name="kept")
    for number, each in enumerate(changes(2, 7)):
        home.join(f"hospital {number}", "kept").report(each)
    home.completed(process_id)
    row = home.service.book.of_training(process_id)[0]
    output, blobs = home.service.book.output(row), home.domain.node.blobs
    assert blobs.exists(output.digest)
    reports = [each.blob for each in home.service.book.counted(row.cycle_id)]
    assert home.service.tidy() >= 1
    assert home.service.book.output(row).blob_digest is None
    assert not blobs.exists(output.digest) or blobs.quarantine is not None
    assert not home.service.book.counted(row.cycle_id)
    until(lambda: not any(each in set(blobs.digests()) for each in reports))
    assert home.client.trainings.model("kept", "1", "latest")


def test_a_policy_whose_rounds_are_used_ends_the_training(home: Consortium, plans: dict[str, bytes]) -> None:
    signed = home.approve(home.policy(plans, rounds=1))
    process_id = home.host(MODEL, signed, plans, name="used", num_cycles=0)
    for number, each in enumerate(changes(2, 8)):
        home.join(f"hospital {number}", "used").report(each)
    view = until(lambda: (v := home.status(process_id)).status == "failed" and v)
    assert "the policy is for 1 rounds" in view.reason
    assert view.cycles_completed == 1


def test_sealed_outputs_count_in_their_owners_quota(home: Consortium, plans: dict[str, bytes]) -> None:
    """While they are kept; and a cycle begins only where there is room for one."""
    process_id = home.host(MODEL, home.approve(home.policy(plans)), plans, name="counted")
    node = home.domain.node
    with node.db.read() as session:
        process = session.get_one(TrainingProcess, process_id)
        owner, reserved, model = process.owner, process.reserved, process.model_size
    assert reserved >= model + SealedOutputs.size_of(home.service.rounds.layout(process_id))
    for number, each in enumerate(changes(2)):
        home.join(f"hospital {number}", "counted").report(each)
    home.completed(process_id)
    output = home.service.book.output(home.service.book.of_training(process_id)[0])
    assert output.size <= reserved

    def used() -> int:
        with node.db.reading() as connection:
            return usage_of(connection, owner, "trainings")["training_bytes"]

    home.service.tidy()
    before = used()
    with node.db.transaction() as session:  # as it was before it was given up
        row = session.get_one(ConfidentialOutput, (process_id, 1))
        session.add(BlobRow(digest=row.digest, size=row.size))
        session.flush()
        row.blob_digest = row.digest
    assert used() == before + output.size
    home.service.tidy()
    assert used() == before
