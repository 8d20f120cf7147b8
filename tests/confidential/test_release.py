"""An output leaves once, whole, and only for the manifest, host and output that it was sealed for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.checkpoint import CheckpointReceipt
from syft_ext.confidential.grants import ConfirmRequest, Release, ReleaseShares
from syft_ext.confidential.hpke import SUITES, SuiteName, public_key, supported
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import NANO
from syft_ext.confidential.privacy import epsilon
from syft_ext.confidential.receipts import check_receipt
from syft_ext.confidential.release import OutputSealing, SealedOutput, open_output_key, return_share
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.confidential.stream import CHUNK
from syft_ext.errors import BadSignature, GridError, InvalidStatement, SealBroken
from syft_ext.identity import Identity
from tests.confidential.world import HEAD, NOW, World, changed, digest

DOMAIN_SECRET = bytes(range(32))


def made(world: World, numbers: bytes) -> tuple[Manifest, bytes, ReleaseShares]:
    manifest = world.manifest(*(world.sealed(i)[1] for i in range(2)))
    bundle = world.receipt(manifest, blake3(numbers).digest())
    sealing = OutputSealing(manifest.digest(), bundle.receipt, [numbers], len(numbers))
    with pytest.raises(RuntimeError):
        sealing.shares(world.keys)
    blob = b"".join(sealing.pieces())
    assert len(blob) == sealing.size
    return manifest, blob, sealing.shares(world.keys)


def reading(blob: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: blob[offset : offset + size]


def confirm(world: World, i: int, shares: ReleaseShares, **fields: Any) -> ConfirmRequest:
    recipient = public_key(world.suite, DOMAIN_SECRET)
    host = key_of(world.hosts[i])
    return changed(ConfirmRequest(host, shares.manifest, shares.output, recipient, NOW), **fields)


def released(world: World, i: int, shares: ReleaseShares) -> Release:
    key = world.keys[i]
    sealed = return_share(key, world.secret(world.hosts[i], "release"), i, shares, confirm(world, i, shares))
    return Release(key.host, shares.manifest, shares.output, key.digest(), sealed, HEAD)


@pytest.mark.parametrize("suite", [each for each in SUITES if supported(each)])
@pytest.mark.parametrize("length", [8, CHUNK - 4, 2 * CHUNK + 8])
def test_all_hosts_together_open_an_output(suite: SuiteName, length: int) -> None:
    world, numbers = World(suite=suite), bytes(range(251)) * (length // 251 + 1)
    numbers = numbers[:length]
    manifest, blob, shares = made(world, numbers)
    releases = [released(world, i, shares) for i in range(3)]
    key = open_output_key(DOMAIN_SECRET, world.keys, releases)
    output = SealedOutput(key, manifest.digest(), reading(blob))
    assert output.length == length
    assert b"".join(bytes(piece) for piece in output.numbers()) == numbers
    bundle = changed(world.receipt(manifest, blake3(numbers).digest()), receipt=output.receipt)
    receipt = check_receipt(bundle, world.policy, manifest)
    assert receipt.output == blake3(numbers).digest()
    assert receipt.simulated


def test_no_host_gives_its_share_for_anything_else() -> None:
    world = World()
    _, _, shares = made(world, b"one two three")
    _, _, others = made(world, b"four five six")
    key, secret = world.keys[0], world.secret(world.hosts[0], "release")
    for moved in (
        changed(shares, output=others.output),
        changed(shares, manifest=others.manifest),
        changed(shares, sealed=others.sealed),
        changed(shares, sealed=shares.sealed[::-1]),
        changed(shares, sealed=()),
    ):
        with pytest.raises((SealBroken, InvalidStatement)):
            return_share(key, secret, 0, moved, confirm(world, 0, moved))
    for request in (
        confirm(world, 0, others),
        confirm(world, 1, shares),
        confirm(world, 0, shares, output=bytes(32)),
    ):
        with pytest.raises(InvalidStatement):
            return_share(key, secret, 0, shares, request)
    with pytest.raises(SealBroken):  # the upload key, which a worker has had, opens no share of an output
        return_share(key, world.secret(world.hosts[0], "upload"), 0, shares, confirm(world, 0, shares))


def test_fewer_hosts_or_mixed_releases_open_nothing() -> None:
    world = World()
    manifest, blob, shares = made(world, b"one two three")
    _, _, others = made(world, b"four five six")
    releases = [released(world, i, shares) for i in range(3)]

    def opened(releases: list[Release]) -> SealedOutput:
        key = open_output_key(DOMAIN_SECRET, world.keys, releases)
        return SealedOutput(key, manifest.digest(), reading(blob))

    assert opened(releases).length == 13
    for bad in (
        releases[::-1],
        [*releases[:2], released(world, 2, others)],
        [*releases[:2], changed(releases[2], sealed=releases[1].sealed)],
    ):
        with pytest.raises((GridError, ValueError)):
            opened(bad)
    with pytest.raises(ValueError, match="zip"):
        opened(releases[:2])
    with pytest.raises(SealBroken):
        SealedOutput(bytes(32), manifest.digest(), reading(blob))
    key = open_output_key(DOMAIN_SECRET, world.keys, releases)
    with pytest.raises(InvalidStatement):
        SealedOutput(key, bytes(32), reading(blob))


def test_a_damaged_output_does_not_open() -> None:
    world = World()
    manifest, blob, shares = made(world, b"one two three")
    key = open_output_key(DOMAIN_SECRET, world.keys, [released(world, i, shares) for i in range(3)])
    for at in range(0, len(blob), 7):
        damaged = bytearray(blob)
        damaged[at] ^= 1
        with pytest.raises(GridError):
            list(SealedOutput(key, manifest.digest(), reading(bytes(damaged))).numbers())
    for cut in (0, 4, 20, 60, len(blob) - 1):
        with pytest.raises(GridError):
            list(SealedOutput(key, manifest.digest(), reading(blob[:cut])).numbers())


@pytest.mark.parametrize(
    "fields",
    [
        {"manifest": bytes(32)},
        {"policy": bytes(32)},
        {"domain": bytes(32)},
        {"process": "e" * 32},
        {"sequence": 2},
        {"base": bytes(32)},
        {"layout": bytes(32)},
        {"participants": 3},
        {"bad_seals": 3},
        {"rho": 0},
        {"workloads": ("simulator:other",)},
        {"evidence": bytes(32)},
        {"sessions": (bytes(32),) * 3},
        {"simulated": False},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_receipt_says_what_policy_manifest_and_hosts_say(fields: dict[str, Any]) -> None:
    world = World()
    manifest = world.manifest(*(world.sealed(i)[1] for i in range(2)))
    assert check_receipt(world.receipt(manifest, digest("output")), world.policy, manifest)
    with pytest.raises(InvalidStatement):
        check_receipt(world.receipt(manifest, digest("output"), **fields), world.policy, manifest)


def test_a_receipt_is_signed_by_a_session_that_every_host_vouched_for() -> None:
    world = World()
    manifest = world.manifest(*(world.sealed(i)[1] for i in range(2)))
    bundle = world.receipt(manifest, digest("output"))

    def refused(**fields: Any) -> None:
        with pytest.raises((InvalidStatement, BadSignature)):
            check_receipt(changed(bundle, **fields), world.policy, manifest)

    mallory = Identity.generate()
    refused(receipt=changed(bundle.receipt, signer=key_of(mallory)))
    refused(sessions=bundle.sessions[:2])
    refused(sessions=bundle.sessions[::-1])
    forged = Signed.make(world.session(world.hosts[0]), mallory)
    refused(sessions=(forged, *bundle.sessions[1:]))
    for fields in (
        {"policy": bytes(32)},
        {"process": "e" * 32},
        {"domain": bytes(32)},
        {"worker": changed(world.worker_keys, sign=key_of(mallory))},
        {"host": key_of(world.hosts[1])},
    ):
        other = Signed.make(world.session(world.hosts[0], **fields), world.hosts[0])
        refused(sessions=(other, *bundle.sessions[1:]))


def test_a_production_policy_has_no_simulated_receipt() -> None:
    world = World(production=True)
    manifest = world.manifest(*(world.sealed(i)[1] for i in range(2)))
    assert not check_receipt(world.receipt(manifest, digest("output")), world.policy, manifest).simulated
    sessions = tuple(Signed.make(world.session(host, simulated=True), host) for host in world.hosts)
    said = tuple(each.digest_as(type(world.session(world.hosts[0]))) for each in sessions)
    bundle = changed(
        world.receipt(manifest, digest("output"), simulated=True, sessions=said), sessions=sessions
    )
    with pytest.raises(InvalidStatement, match="simulated"):
        check_receipt(bundle, world.policy, manifest)


def shown(world: World, **fields: Any) -> CheckpointReceipt:
    """The receipt of an output, as a Domain hands it out, of hosts that saw no simulated session."""
    manifest = world.manifest(*(world.sealed(i)[1] for i in range(2)))
    sessions = tuple(Signed.make(world.session(host, simulated=False), host) for host in world.hosts)
    said = tuple(each.digest_as(SessionStatement) for each in sessions)
    bundle = changed(
        world.receipt(manifest, digest("output"), simulated=False, sessions=said), sessions=sessions
    )
    signed = Signed.make(manifest, world.domain)
    return CheckpointReceipt(
        bundle.encode(),
        signed.encode(),
        world.signed_policy.encode(),
        world.domain.verify_key,
        world.process,
        2,
    )


def test_a_policy_that_takes_simulated_evidence_promises_nothing_whatever_its_session_was() -> None:
    """The operator had the keys in a simulated session, and then has a real one make output and receipt."""
    receipt = shown(World())
    assert not receipt.receipt.simulated
    assert receipt.simulated
    assert receipt.privacy.startswith("simulated")
    assert "SIMULATED" in repr(receipt)


def test_what_is_said_of_privacy_holds_beside_other_policies_of_the_scope() -> None:
    world = World(production=True)
    said = shown(world).privacy
    rho = world.policy.mechanism.rho / NANO
    assert f"none of which cost more than ρ = {rho:g}" in said
    assert f"held to ρ = {world.policy.budget.rho / NANO:g} by each of this one's hosts" in said
    assert f"ε = {epsilon(world.policy):.3g}" in said
