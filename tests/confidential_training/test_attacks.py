"""An operator with all rights at the Domain: what they try, and what comes of it.

They read and write the database, hold every blob and message, start workers as they like, and sign as the Domain.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import delete, update

from grid.confidential.tables import ConfidentialOutput, ConfidentialRound
from grid.federated.state import tables as t
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.manifest import Declaration, Manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundKey
from syft_ext.errors import BadRequest, BadSignature, Conflict, InvalidConfig, InvalidStatement, TooLarge
from syft_ext.messages.federated import HostTraining
from tests.confidential_training.conftest import MODEL, changes, on_the_grid
from tests.confidential_training.consortium import GRID_BITS, Consortium, until

Begin = Callable[..., str]


@pytest.fixture
def begin(home: Consortium, plans: dict[str, bytes], request: pytest.FixtureRequest) -> Begin:
    """Host a training under a policy of its own; its name is the test's."""

    def make(**changed: Any) -> str:
        least = changed.pop("least", 2)
        policy = home.policy(plans, least=least, **changed)
        return home.host(MODEL, home.approve(policy), plans, name=request.node.name)

    return make


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def edit(home: Consortium, statement: Any) -> None:
    """What an operator does to the database."""
    with home.domain.node.db.transaction() as session:
        session.execute(statement)


def round_of(home: Consortium, process_id: str) -> Any:
    return home.service.book.of_training(process_id)[0]


# -- what is taken at all ----------------------------------------------------------------------------


def test_nothing_is_taken_in_the_clear(home: Consortium, begin: Begin, name: str) -> None:
    begin()
    part = home.join("hospital", name)
    blob, declaration = part.seal(changes(1)[0])
    with pytest.raises(Conflict, match="say first what will come"):
        part.send(blob)
    part.declare(declaration)
    for kind in ("diff", "params", ""):
        with pytest.raises(Conflict) as caught:
            part.send(blob, kind)
        assert caught.value.extra["reason"] == "confidential"
    for metric in ("samples", "loss", "accuracy"):
        with pytest.raises(Conflict) as caught:
            part.send(blob, **{metric: 1})
        assert caught.value.extra["field"] == metric


def test_bytes_that_were_not_declared_are_refused(home: Consortium, begin: Begin, name: str) -> None:
    begin()
    part = home.join("hospital", name)
    blob, declaration = part.seal(changes(1)[0])
    part.declare(declaration)
    for wrong, error in (
        (b"\0" + blob[1:], BadRequest),  # another head
        (blob[:-1] + bytes([blob[-1] ^ 1]), BadRequest),  # another content
        (blob[:-1], BadRequest),
        (blob + b"\0", TooLarge),
    ):
        with pytest.raises(error):
            part.send(wrong)
    assert part.send(blob).reported == 1


def test_declarations_hold_for_their_own_place(home: Consortium, begin: Begin, name: str) -> None:
    """Moved to another assignment, of another participant, with another person's certificate, or changed."""
    begin(least=3)
    mine, other = home.join("mine", name), home.join("other", name)
    _, declaration = mine.seal(changes(1)[0])
    with pytest.raises(InvalidStatement, match="another assignment"):
        other.declare(declaration)
    opened = Declaration.decode(declaration)
    _, theirs = other.seal(changes(1)[0])
    for wrong in (
        msgspec.structs.replace(
            opened, entry=msgspec.structs.replace(opened.entry, certificate=other.certificate)
        ),
        msgspec.structs.replace(opened, shares=Declaration.decode(theirs).shares),
        msgspec.structs.replace(opened, header=msgspec.structs.replace(opened.header, salt=bytes(32))),
        msgspec.structs.replace(opened, header=msgspec.structs.replace(opened.header, length=1)),
    ):
        with pytest.raises((InvalidStatement, BadSignature)):
            mine.declare(wrong.encode())
    mine.declare(declaration)


def test_a_certificate_that_would_end_a_round_for_all_is_not_taken(
    home: Consortium, begin: Begin, name: str
) -> None:
    """A manifest is for ever: whenever hosts or a worker look at it, every certificate in it has to hold."""
    begin(least=3)
    one = home.join("hospital", name)
    offer, change = one.offer(), changes(1)[0]
    over = min(RoundKey.decode(key.body).erase_at for key in offer.keys)
    held = ParticipantCertificate.decode(one.certificate.body)

    def until_then(not_after: int) -> bytes:
        one.certificate = Signed.make(msgspec.structs.replace(held, not_after=not_after), home.authority)
        return one.seal(change, offer)[1]

    with pytest.raises(Conflict) as caught:
        one.declare(until_then(over - 1))
    assert caught.value.extra["reason"] == "certificate"
    one.declare(until_then(over))


def test_one_person_counts_once(home: Consortium, begin: Begin, name: str) -> None:
    begin(least=3)
    change = changes(1)[0]
    home.join("hospital", name).report(change)
    again = home.join("hospital", name)  # another key, a new certificate, the same subject
    _, declaration = again.seal(change)
    with pytest.raises(Conflict) as caught:
        again.declare(declaration)
    assert caught.value.extra["reason"] == "twice"


def test_trainings_that_could_not_keep_to_their_policy_are_not_hosted(
    home: Consortium, plans: dict[str, bytes]
) -> None:
    signed = home.approve(home.policy(plans, least=3))
    for field, config in (
        ("min_diffs", {"min_diffs": 2}),
        ("max_workers", {"max_workers": 17}),
        ("num_cycles", {"num_cycles": 21}),
        ("weighting", {"weighting": "samples"}),
        ("report_format", {"report_format": "masked"}),
    ):
        with pytest.raises(InvalidConfig) as caught:
            home.host(MODEL, signed, plans, name="never", **config)
        assert caught.value.extra["field"] == field
    config = {"confidential": {"policy": base64.b64encode(signed.encode()[:-1]).decode()}}
    with pytest.raises(InvalidConfig, match="no signed policy"):
        home.client.call(HostTraining(name="never", version="1", client_plans=plans, server_config=config))
    with pytest.raises(InvalidConfig, match="sealed reports are those of a confidential training"):
        home.client.call(
            HostTraining(
                name="never", version="1", client_plans=plans, server_config={"report_format": "sealed"}
            )
        )


# -- what becomes of a round that somebody tampers with --------------------------------------------------


def collected(home: Consortium, process_id: str, name: str, *, seed: int = 1) -> list[Any]:
    """All but the last participant have reported; who has not, with what they will send."""
    given = changes(2, seed)
    home.join("first", name).report(given[0])
    return [home.join("second", name), given]


def test_a_damaged_blob_ends_the_job_and_changes_no_output(home: Consortium, begin: Begin, name: str) -> None:
    """Whoever takes one upload away gets nothing, not the others' sum."""
    process_id = begin()
    part, given = collected(home, process_id, name)
    (first,) = home.service.book.counted(round_of(home, process_id).cycle_id)
    blobs = home.domain.node.blobs
    with blobs.open(first.blob) as reader, reader.file() as file:
        path = Path(f"/proc/self/fd/{file.fileno()}").resolve()
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    part.report(given[1])
    until(lambda: process_id in home.pipeline.averaging.waiting)
    assert home.status(process_id).cycles_completed == 0
    assert home.service.book.output(round_of(home, process_id)) is None
    path.write_bytes(whole)
    home.completed(process_id)
    mean = sum(on_the_grid(each)["w"] for each in given) / 2 / 2**GRID_BITS
    assert np.array_equal(home.model(name)["w"].numpy(), MODEL["w"].numpy() - mean.astype(np.float32))


def test_hosts_grant_no_second_manifest(home: Consortium, begin: Begin, name: str) -> None:
    """n, then n − 1: the difference would be somebody's own."""
    process_id = begin()
    part, given = collected(home, process_id, name)
    part.report(given[1])
    home.completed(process_id)
    row = round_of(home, process_id)
    manifest = Manifest.decode(Signed.decode(row.manifest).body)
    smaller = msgspec.structs.replace(manifest, entries=manifest.entries[::-1][:1] * 2)
    reason = refused_again(home, process_id, smaller)
    assert "key host" in reason or "manifest_refused" in reason


def refused_again(home: Consortium, process_id: str, manifest: Manifest) -> str:
    """Have the round done again, with this manifest; why nothing comes of it."""
    identity, row = home.domain.node.identity, round_of(home, process_id)
    edit(home, delete(ConfidentialOutput).where(ConfidentialOutput.process_id == process_id))
    edit(
        home,
        update(ConfidentialRound)
        .where(ConfidentialRound.process_id == process_id)
        .values(
            state="closed",
            manifest=Signed.make(manifest, identity).encode(),
            manifest_digest=manifest.digest().hex(),
        ),
    )
    definition = home.pipeline.definitions.get(process_id)
    sums, base = (
        home.pipeline.outside.of(definition.server),
        home.pipeline.sums.base(process_id, row.cycle_id),
    )
    assert sums is not None
    with pytest.raises(BadRequest) as caught:
        sums.sum(definition, row.cycle_id, base.base)
    return caught.value.detail


def test_a_restored_database_makes_no_second_output(home: Consortium, begin: Begin, name: str) -> None:
    """As before the output was stored: the worker would draw other noise, and the hosts open no other output."""
    process_id = begin(**home.noisy(1.0, 4))
    part, given = collected(home, process_id, name)
    part.report(given[1])
    home.completed(process_id)
    before = home.model(name)["w"]
    manifest = Manifest.decode(Signed.decode(round_of(home, process_id).manifest).body)
    assert "key host" in refused_again(home, process_id, manifest)
    assert np.array_equal(home.model(name)["w"].numpy(), before.numpy())


def test_another_policy_opens_nothing(
    home: Consortium, plans: dict[str, bytes], begin: Begin, name: str
) -> None:
    """The noise is dropped behind the participants' backs: keys of the round follow from its policy."""
    process_id = begin(**home.noisy(1.0, 4))
    part, given = collected(home, process_id, name)
    quiet = home.approve(home.policy(plans))  # the same, without noise; the hosts approved that too
    stored = home.pipeline.store.read(
        t.TrainingProcess.__table__.select().where(t.TrainingProcess.id == process_id)
    )[0]
    config = dict(stored.server_config)
    config["confidential"] = {"policy": base64.b64encode(quiet.encode()).decode()}
    edit(
        home, update(t.TrainingProcess).where(t.TrainingProcess.id == process_id).values(server_config=config)
    )
    blob, declaration = part.seal(given[1])
    part.declare(declaration)
    home.pipeline.definitions._known.pop(process_id)  # as after a restart
    part.send(blob)
    view = until(lambda: (v := home.status(process_id)).status == "failed" and v)
    assert view.cycles_completed == 0
    assert ConfidentialPolicy.decode(quiet.body).mechanism.noise_multiplier == 0


def test_the_disk_holds_no_update(home: Consortium, begin: Begin, name: str) -> None:
    """A canary is looked for in every file of the Domain and of the hosts."""
    process_id = begin()
    canary = {"w": np.full((4, 3), 0.0421, np.float32), "b": np.full(3, 0.0421, np.float32)}
    home.join("canary", name).report(canary)
    home.join("other", name).report(changes(1)[0])
    home.completed(process_id)
    needle = canary["w"].tobytes()[:12]
    found = [path for path in home.path.rglob("*") if path.is_file() and needle in path.read_bytes()]
    assert not found
