"""The first output that is confirmed is the only one; and what is forgotten, when."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from grid.key_host.denials import deny
from grid.key_host.erasing import erase
from grid.key_host.machines.round import RELEASE_SEED_LIVES
from grid.key_host.rounds import find_round
from grid.key_host.tables import KeyHostRound
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.grants import ConfirmRequest, Release, ReleaseShares, ReturnInfo
from syft_ext.confidential.hpke import open_sealed
from syft_ext.confidential.manifest import Manifest
from syft_ext.errors import BadRequest, BadSignature, ExpiredMessage, GridError, KeyRefused, SealBroken
from syft_ext.identity import Identity
from syft_ext.messages.key_host import Deny
from tests.key_host.parties import WORKLOAD, Party
from tests.key_host.test_grants import Round, refused

OUT, OTHER = b"o" * 32, b"p" * 32


def _granted(party: Party) -> Round:
    one = Round(party)
    one.all()
    return one


def test_each_host_returns_its_share_to_the_domain(party: Party) -> None:
    one = _granted(party)
    shares = one.worker.output(one.manifest, one.keys, OUT)
    for core in party.ordered(one.policy):
        release = one.worker.confirm(core, one.manifest, shares).open(Release, core.key)
        info = ReturnInfo(host=core.key, manifest=release.manifest, output=OUT, key=release.key)
        assert len(open_sealed("x25519", bytes(32), info.digest(), release.sealed)) == 32
        assert (release.output, release.head.sequence) == (OUT, 2)


def test_another_output_is_refused_for_ever(party: Party) -> None:
    one = _granted(party)
    first = one.worker.output(one.manifest, one.keys, OUT)
    one.worker.confirm(one.host, one.manifest, first)
    other = one.worker.output(one.manifest, one.keys, OTHER)
    assert refused(lambda: one.worker.confirm(one.host, one.manifest, other)) == "other-output"
    again = party.session(one.policy)
    other = again.output(one.manifest, one.keys, OTHER)
    assert refused(lambda: again.confirm(one.host, one.manifest, other)) == "other-output"
    # And no key any more, for another attempt at the same manifest.
    assert refused(one.grant) == "released"


def test_the_same_output_is_confirmed_again(party: Party) -> None:
    one = _granted(party)
    shares = one.worker.output(one.manifest, one.keys, OUT)
    first = Release.decode(one.worker.confirm(one.host, one.manifest, shares).body)
    second = Release.decode(one.worker.confirm(one.host, one.manifest, shares).body)
    assert (first.output, first.head) == (second.output, second.head)


def test_shares_that_do_not_open_note_nothing(party: Party) -> None:
    one = _granted(party)
    foreign = one.worker.output(one.manifest, list(reversed(one.keys)), OUT)
    with pytest.raises(SealBroken):
        one.worker.confirm(one.host, one.manifest, foreign)
    with one.host.db.read() as session:
        assert find_round(session, one.context.digest()).row.state == "granted"
    one.worker.confirm(one.host, one.manifest, one.worker.output(one.manifest, one.keys, OTHER))


def test_each_refusal_of_a_confirmation(party: Party) -> None:
    one = _granted(party)
    worker, host = one.worker, one.host
    shares = worker.output(one.manifest, one.keys, OUT)
    with pytest.raises(BadRequest, match="another host"):
        worker.confirm(host, one.manifest, shares, host=party.ordered(one.policy)[1].key)
    assert refused(lambda: worker.confirm(host, one.manifest, shares, output=OTHER)) == "other-output"
    with pytest.raises(ExpiredMessage):
        worker.confirm(host, one.manifest, shares, at=party.now - 301)
    with pytest.raises(BadSignature):
        unsigned = ReleaseShares.decode(shares.body)
        worker.confirm(host, one.manifest, Signed.make(unsigned, Identity.generate()))
    elsewhere = party.session(one.policy, process="f" * 32)
    foreign = elsewhere.output(one.manifest, one.keys, OUT)
    assert refused(lambda: elsewhere.confirm(host, one.manifest, foreign)) == "session"
    domain, party.domain = party.domain, Identity.generate()
    with pytest.raises(BadSignature):
        worker.confirm(host, one.manifest, shares)
    party.domain = domain
    two = Round(party, one.policy, 2)
    unasked = two.worker.output(two.manifest, two.keys, OUT)
    assert refused(lambda: two.worker.confirm(host, two.manifest, unasked)) == "not-granted"
    worker.confirm(host, one.manifest, shares)


def test_an_output_of_a_program_that_was_denied_since_does_not_leave(party: Party) -> None:
    """Its noise may be what it was denied for; and whoever has its session's key could sign any output."""
    one = _granted(party)
    shares = one.worker.output(one.manifest, one.keys, OUT)
    program = Deny(kind="workload", value=f"simulator:{WORKLOAD.hex()}", reason="no noise")
    deny(one.host, program)
    assert refused(lambda: one.worker.confirm(one.host, one.manifest, shares)) == "denied"
    deny(one.host, replace(program, lift=True))
    one.worker.confirm(one.host, one.manifest, shares)


def test_a_round_that_is_over_releases_nothing(party: Party) -> None:
    one = _granted(party)
    party.clock.advance(86_400)
    shares = one.worker.output(one.manifest, one.keys, OUT)
    assert refused(lambda: one.worker.confirm(one.host, one.manifest, shares, at=party.now)) == "over"


def _seeds(one: Round) -> tuple[bool, bool]:
    with one.host.db.read() as session:
        row = session.scalars(select(KeyHostRound)).one()
        return row.upload_seed is not None, row.release_seed is not None


def test_the_upload_seed_goes_at_the_release_and_the_release_seed_a_day_later(party: Party) -> None:
    one = _granted(party)
    shares = one.worker.output(one.manifest, one.keys, OUT)
    assert _seeds(one) == (True, True)
    one.worker.confirm(one.host, one.manifest, shares)
    assert _seeds(one) == (False, True)
    party.clock.advance(RELEASE_SEED_LIVES - 1)
    assert erase(one.host) == 0
    one.worker.confirm(one.host, one.manifest, shares, at=party.now)
    party.clock.advance(1)
    assert erase(one.host) == 1
    assert _seeds(one) == (False, False)
    assert refused(lambda: one.worker.confirm(one.host, one.manifest, shares, at=party.now)) == "over"


def test_a_round_without_an_output_is_forgotten_at_its_end(party: Party) -> None:
    one = _granted(party)
    party.clock.advance(86_400)
    assert erase(one.host) == 1
    assert _seeds(one) == (False, False)
    assert erase(one.host) == 0


def test_seeds_cannot_be_read_without_the_epochs_key(party: Party) -> None:
    """A copy of the database opens nothing once the key of the epoch is gone."""
    one = _granted(party)
    epoch = one.host.epochs.current(party.now)
    with one.host.db.read() as session:
        held = find_round(session, one.context.digest())
    assert len(held.secret(one.host, "upload")) == 32
    with pytest.raises(KeyRefused):  # sealed for its own round and purpose
        held.row.upload_seed, held.row.release_seed = held.row.release_seed, held.row.upload_seed
        held.secret(one.host, "upload")
    assert one.host.epochs.drop(set(), party.now) == []  # the current one stays
    party.clock.advance(2 * 86_400)
    assert erase(one.host) == 1
    with pytest.raises(KeyRefused, match="epoch is gone"):
        one.host.epochs.open(epoch, bytes(60), b"")


def test_seeds_are_not_in_the_database_file(party: Party) -> None:
    """Neither in the clear before, nor sealed after they were erased (``secure_delete``, the log folded)."""
    one = _granted(party)
    with one.host.db.read() as session:
        row = session.scalars(select(KeyHostRound)).one()
        sealed = [row.upload_seed, row.release_seed]
        secret = find_round(session, one.context.digest()).secret(one.host, "upload")
    path = str(one.host.db.url.database)
    one.host.db.fold()
    content = _content(path)
    assert all(each in content for each in sealed if each)
    assert secret not in content
    party.clock.advance(86_400)
    erase(one.host)
    content = _content(path)
    assert all(each and each not in content for each in sealed)


def _content(path: str) -> bytes:
    from pathlib import Path

    return b"".join(
        file.read_bytes() for file in (Path(path), Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()
    )


def test_a_confirmation_for_another_manifest_of_the_round_is_none(party: Party) -> None:
    one = _granted(party)
    other = party.manifest(one.context, one.keys, ["ada", "cy"])
    assert other.digest_as(Manifest) != one.manifest.digest_as(Manifest)
    shares = one.worker.output(other, one.keys, OUT)
    assert refused(lambda: one.worker.confirm(one.host, other, shares)) == "not-granted"
    request = ConfirmRequest(
        host=one.host.key, manifest=bytes(32), output=OUT, recipient=bytes(32), at=party.now
    )
    assert request.encode()
    with pytest.raises(GridError):
        one.worker.confirm(one.host, one.manifest, shares)
