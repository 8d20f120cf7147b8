"""An update opens where it belongs, as it was sealed, and nowhere and nohow else."""

from __future__ import annotations

import dataclasses
import secrets
import tracemalloc
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.hpke import SUITES, SuiteName, public_key, public_size, seal, supported
from syft_ext.confidential.manifest import Declaration, check_declaration, check_manifest
from syft_ext.confidential.rounds import RoundContext, RoundKey, open_round_keys
from syft_ext.confidential.sealing import (
    MAX_HEAD,
    NOISE_LABEL,
    Sealing,
    open_content_key,
    opener_of,
    read_head,
    share_info,
)
from syft_ext.confidential.shares import combine, split
from syft_ext.confidential.stream import CHUNK, TAG, ChunkOpener, seal_chunks, sealed_length
from syft_ext.confidential.uploads import SealedShares, ShareInfo, UploadStatement
from syft_ext.errors import BadSignature, GridError, InvalidStatement, SealBroken
from syft_ext.identity import Identity
from tests.confidential.world import BASE, NOW, World, changed, digest

both_suites = pytest.mark.parametrize(
    "suite",
    [
        pytest.param(each, marks=() if supported(each) else pytest.mark.skip("no ML-KEM here"))
        for each in SUITES
    ],
)


def secrets_of(world: World) -> list[bytes]:
    return [world.secret(host, "upload") for host in world.hosts]


def content_of(world: World, blob: bytes, declaration: Declaration) -> bytes:
    """What the worker opens, by the steps that it takes."""
    keys = world.keys
    ids = tuple(key.digest() for key in keys)
    checked = check_declaration(declaration, world.context, BASE, ids, world.policy, NOW)
    assert (blake3(blob).digest(), len(blob)) == (checked.upload.blob, checked.upload.length)
    header, shares, start = read_head(blob[:MAX_HEAD])
    assert (header, shares) == (declaration.header, declaration.shares)
    key = open_content_key(checked.upload, shares, world.policy, world.context, keys, secrets_of(world))
    opener, into, content = opener_of(key, header), bytearray(CHUNK), b""
    for number in range(opener.count):
        offset, length = opener.place(number)
        content += opener.open(number, blob[start + offset : start + offset + length], into)
    return content


@both_suites
@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
def test_what_is_sealed_opens(suite: SuiteName, length: int) -> None:
    world = World(suite=suite)
    content = secrets.token_bytes(length)
    blob, declaration = world.sealed(1, content)
    assert content_of(world, blob, declaration) == content
    assert length < 32 or content[:32] not in blob
    for key in world.keys:
        assert len(key.upload) == public_size(suite)


def test_two_sealings_share_no_key() -> None:
    world = World()
    (one, first), (two, second) = world.sealed(0), world.sealed(0)
    assert first.header.ck_commit != second.header.ck_commit
    assert first.header.salt != second.header.salt
    assert one != two


def test_pieces_may_end_anywhere_and_the_length_is_held() -> None:
    world = World()
    content = secrets.token_bytes(3 * CHUNK + 17)
    pieces = [content[:5], b"", content[5 : CHUNK + 9], content[CHUNK + 9 :]]
    sealing = Sealing(world.place(0), pieces, len(content), world.participants[0])
    with pytest.raises(RuntimeError):
        sealing.declaration()
    blob = b"".join(sealing.pieces())
    assert len(blob) == sealing.size
    assert content_of(world, blob, sealing.declaration()) == content
    for wrong in (len(content) - 1, len(content) + 1):
        sealing = Sealing(world.place(0), pieces, wrong, world.participants[0])
        with pytest.raises(ValueError, match="bytes of content"):
            for _ in sealing.pieces():
                pass
        with pytest.raises(RuntimeError):
            sealing.declaration()


def test_a_certificate_of_somebody_else_seals_nothing() -> None:
    world = World()
    with pytest.raises(InvalidStatement):
        Sealing(world.place(0), [b"x"], 1, world.participants[1])


# -- condition 1: bound ciphertexts ----------------------------------------------------------------

_WORLD = World()
_BLOB, _DECLARATION = _WORLD.sealed(2, b"the update")
_UPLOAD = UploadStatement.decode(_DECLARATION.entry.upload.body)


def _other(name: str, value: Any, data: st.DataObject) -> Any:
    if isinstance(value, bytes):
        return data.draw(st.binary(min_size=len(value), max_size=len(value)).filter(lambda new: new != value))
    if isinstance(value, int):
        return data.draw(st.integers(2, 16).filter(lambda new: new != value))
    others = {"suite": "mlkem768-x25519", "assignment": "f" * 32}
    return others[name]


@pytest.mark.parametrize("name", ShareInfo.__struct_fields__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_share_opens_only_in_its_place(name: str, data: st.DataObject) -> None:
    """The worker computes what a share is for. Whatever it knows otherwise than the participant: it does not
    open."""
    key = _WORLD.keys[1]
    info = share_info(_UPLOAD, _WORLD.policy, _WORLD.context, 1, key)
    moved = changed(info, **{name: _other(name, getattr(info, name), data)})
    assert moved.digest() != info.digest()
    shares = list(_DECLARATION.shares.sealed)
    shares[1] = seal("x25519", key.upload, moved.digest(), bytes(32))
    for sealed in (shares[1], shares[0], shares[2]):
        with pytest.raises(SealBroken):
            open_content_key(
                _UPLOAD,
                SealedShares((_DECLARATION.shares.sealed[0], sealed, _DECLARATION.shares.sealed[2])),
                _WORLD.policy,
                _WORLD.context,
                _WORLD.keys,
                secrets_of(_WORLD),
            )


@pytest.mark.parametrize("name", [*RoundContext.__struct_fields__])
def test_an_upload_opens_in_no_other_round(name: str) -> None:
    other: dict[str, Any] = {
        "process": "f" * 32,
        "sequence": 2,
        "suite": "mlkem768-x25519",
        "plans": (bytes(32),),
    }
    moved = changed(_WORLD.context, **{name: other.get(name, bytes(32))})
    with pytest.raises(SealBroken):
        open_content_key(
            changed(_UPLOAD, context=moved.digest()),
            _DECLARATION.shares,
            _WORLD.policy,
            moved,
            _WORLD.keys,
            secrets_of(_WORLD),
        )


def test_the_same_round_under_a_policy_without_noise_has_other_keys() -> None:
    """Condition 2: a host that is asked under another policy derives another key."""
    quiet = World(
        owner=_WORLD.owner,
        domain=_WORLD.domain,
        authority=_WORLD.authority,
        participants=_WORLD.participants,
        noise=0,
    )
    quiet.hosts = _WORLD.hosts
    assert quiet.context != _WORLD.context
    derived = [quiet.secret(host, "upload", quiet.context) for host in quiet.hosts]
    assert not set(derived) & set(secrets_of(_WORLD))
    with pytest.raises(SealBroken):
        open_content_key(_UPLOAD, _DECLARATION.shares, _WORLD.policy, _WORLD.context, _WORLD.keys, derived)


def test_shares_that_do_not_belong_together_open_nothing() -> None:
    """A participant whose shares are good for one host and rubbish for another has no second content."""
    keys = _WORLD.keys
    infos = [
        share_info(_UPLOAD, _WORLD.policy, _WORLD.context, i, key).digest() for i, key in enumerate(keys)
    ]
    rubbish = SealedShares(
        tuple(seal("x25519", key.upload, info, bytes(32)) for key, info in zip(keys, infos, strict=True))
    )
    mixed = SealedShares((*_DECLARATION.shares.sealed[:2], rubbish.sealed[2]))
    for shares in (rubbish, mixed):
        with pytest.raises(SealBroken, match="committed"):
            open_content_key(_UPLOAD, shares, _WORLD.policy, _WORLD.context, keys, secrets_of(_WORLD))
    with pytest.raises(ValueError, match="zip"):
        open_content_key(
            _UPLOAD, _DECLARATION.shares, _WORLD.policy, _WORLD.context, keys, secrets_of(_WORLD)[:2]
        )


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(_BLOB) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_blob_can_be_another(at: int, bit: int) -> None:
    damaged = bytearray(_BLOB)
    damaged[at] ^= 1 << bit
    blob = bytes(damaged)
    with pytest.raises((GridError, AssertionError)):  # the digest, before anything is opened
        content_of(_WORLD, blob, _DECLARATION)
    with pytest.raises(GridError):  # and without it, the seal
        header, shares, start = read_head(blob)
        key = open_content_key(
            _UPLOAD, shares, _WORLD.policy, _WORLD.context, _WORLD.keys, secrets_of(_WORLD)
        )
        opener = opener_of(key, header)
        opener.open(0, blob[start:], bytearray(CHUNK))
        # ck_commit, salt and so on are bound; shares that opened to the same key were not damaged.
        raise AssertionError("a damaged blob opened")


def test_chunks_are_not_swapped_cut_or_repeated() -> None:
    content = bytes(range(256)) * (3 * CHUNK // 256) + b"end"
    key = secrets.token_bytes(32)
    chunks = list(seal_chunks(key, b"bound", [content], len(content)))
    assert sum(map(len, chunks)) == sealed_length(len(content)) == len(content) + 4 * TAG
    opener, into = ChunkOpener(key, b"bound", len(content)), bytearray(CHUNK)
    assert b"".join(bytes(opener.open(i, chunk, into)) for i, chunk in enumerate(chunks)) == content
    for number, chunk in enumerate(chunks):
        for other in range(len(chunks) + 1):
            if other != number:
                with pytest.raises(SealBroken):
                    opener.open(other, chunk, into)
    cut = ChunkOpener(key, b"bound", 2 * CHUNK)  # a content that ends with the second chunk
    with pytest.raises(SealBroken):
        cut.open(1, chunks[1], into)
    longer = ChunkOpener(key, b"bound", len(content) + CHUNK)
    with pytest.raises(SealBroken):
        longer.open(3, chunks[3], into)
    for bad in (ChunkOpener(key, b"other", len(content)), ChunkOpener(bytes(32), b"bound", len(content))):
        with pytest.raises(SealBroken):
            bad.open(0, chunks[0], into)
    with pytest.raises(SealBroken):
        opener.open(0, chunks[0][:-1], into)
    with pytest.raises(SealBroken):
        opener.open(-1, chunks[0], into)


@given(secret=st.binary(min_size=1, max_size=64), n=st.integers(1, 16))
def test_all_shares_are_needed(secret: bytes, n: int) -> None:
    shares = split(secret, n)
    assert combine(shares, n, len(secret)) == secret
    with pytest.raises(SealBroken):
        combine(shares[1:], n, len(secret))
    with pytest.raises(SealBroken):
        combine(shares, n, len(secret) + 1)


def test_fewer_shares_say_nothing() -> None:
    """Any n − 1 shares of two secrets are as likely: their XOR with what is missing is uniform."""
    first = [split(bytes(1), 3)[2][0] for _ in range(4096)]
    second = [split(b"\xff", 3)[2][0] for _ in range(4096)]
    for seen in (first, second):
        assert len(set(seen)) > 200


# -- declarations and manifests --------------------------------------------------------------------


def declared(world: World, declaration: Declaration, **context: Any) -> Any:
    ids = tuple(key.digest() for key in world.keys)
    return check_declaration(declaration, world.context, BASE, ids, world.policy, NOW)


@pytest.mark.parametrize("name", UploadStatement.__struct_fields__)
def test_a_declaration_says_what_its_participant_signed(name: str) -> None:
    world, declaration = _WORLD, _DECLARATION
    upload = UploadStatement.decode(declaration.entry.upload.body)
    other: Any = {"assignment": "e" * 32, "keys": upload.keys[::-1], "length": 1}.get(name, bytes(32))
    forged = changed(upload, **{name: other})
    unsigned = changed(declaration.entry.upload, body=forged.encode())
    with pytest.raises(GridError):
        declared(world, changed(declaration, entry=changed(declaration.entry, upload=unsigned)))
    resigned = Signed.make(forged, world.participants[2])
    altered = changed(declaration, entry=changed(declaration.entry, upload=resigned))
    if name in ("blob", "length"):
        assert declared(world, altered).upload == forged  # what the bytes have to be, then
    else:
        with pytest.raises(GridError):
            declared(world, altered)


def test_another_participant_does_not_take_over_an_upload() -> None:
    world, declaration = _WORLD, _DECLARATION
    upload = UploadStatement.decode(declaration.entry.upload.body)
    stolen = changed(upload, participant=key_of(world.participants[3]))
    certificate = world.signed_certificate(3)
    taken = changed(stolen, certificate=certificate.digest_as(type(world.certificate(3))))
    entry = changed(
        declaration.entry, upload=Signed.make(taken, world.participants[3]), certificate=certificate
    )
    header = changed(declaration.header, participant=key_of(world.participants[3]))
    with pytest.raises(GridError):
        declared(world, changed(declaration, entry=entry))
    resigned = changed(taken, header=header.digest())
    entry = changed(entry, upload=Signed.make(resigned, world.participants[3]))
    stolen_declaration = changed(declaration, header=header, entry=entry)
    assert declared(world, stolen_declaration)  # public parts can be copied
    with pytest.raises(SealBroken):  # what they hold does not open for it
        open_content_key(
            resigned, declaration.shares, world.policy, world.context, world.keys, secrets_of(world)
        )


@pytest.mark.parametrize(
    "fields", [{"not_after": NOW - 1}, {"not_before": NOW + 1}, {"authority": bytes(32)}], ids=str
)
def test_a_certificate_holds_now_and_is_its_authoritys(fields: dict[str, Any]) -> None:
    world = World()
    _, declaration = world.sealed(0)
    certificate = world.signed_certificate(0, **fields)
    upload = UploadStatement.decode(declaration.entry.upload.body)
    upload = changed(upload, certificate=certificate.digest_as(type(world.certificate(0))))
    entry = changed(
        declaration.entry, upload=Signed.make(upload, world.participants[0]), certificate=certificate
    )
    with pytest.raises(GridError):
        declared(world, changed(declaration, entry=entry))


def test_a_manifest_is_a_cohort_each_once() -> None:
    world = World()
    uploads = [world.sealed(i)[1] for i in range(4)]
    manifest = world.manifest(*uploads)
    assert len(check_manifest(manifest, world.policy, NOW)) == 4
    assert len({each.person for each in check_manifest(manifest, world.policy, NOW)}) == 4
    again = Signed.make(manifest, world.domain).open(type(manifest), world.context.domain)
    assert again == manifest

    def refused(*declarations: Declaration, **fields: Any) -> None:
        with pytest.raises((InvalidStatement, BadSignature)):
            check_manifest(changed(world.manifest(*declarations), **fields), world.policy, NOW)

    refused(uploads[0])  # a cohort of one
    refused(uploads[1], uploads[0])  # another order
    refused(uploads[0], uploads[0])
    refused(*uploads, base=bytes(32))
    refused(*uploads, keys=world.manifest(*uploads).keys[::-1])
    refused(*uploads, keys=world.manifest(*uploads).keys[:2])
    refused(*uploads, context=changed(world.context, sequence=2))
    refused(*uploads, context=changed(world.context, sequence=41))
    refused(*uploads, context=changed(world.context, plans=(digest("other"),)))
    refused(*uploads, context=changed(world.context, domain=bytes(32)))


def test_a_reissued_certificate_is_the_same_person() -> None:
    world = World()
    uploads = [world.sealed(i)[1] for i in range(2)]
    world.participants.append(Identity.generate())  # a key of its own, certified anew
    certificate = world.signed_certificate(4, subject="hospital 0")
    place = dataclasses.replace(world.place(3), certificate=certificate, assignment="f" * 32)
    sealing = Sealing(place, [b"x"], 1, world.participants[4])
    list(sealing.pieces())
    with pytest.raises(InvalidStatement, match="twice"):
        check_manifest(world.manifest(*uploads, sealing.declaration()), world.policy, NOW)


def test_round_keys_are_each_hosts_own() -> None:
    world = World()
    hosts = tuple(key_of(host) for host in world.hosts)
    assert len(open_round_keys(world.round_keys, hosts, world.context)) == 3

    def refused(*keys: Signed[RoundKey]) -> None:
        with pytest.raises(GridError):
            open_round_keys(keys, hosts, world.context)

    one, two, three = world.round_keys
    refused(one, two)
    refused(two, one, three)
    refused(one, one, three)
    refused(one, two, Signed.make(world.round_key(world.hosts[2]), world.hosts[0]))
    copied = world.round_key(world.hosts[2], upload=world.round_key(world.hosts[0]).upload)
    refused(one, two, Signed.make(copied, world.hosts[2]))
    elsewhere = changed(world.context, sequence=2)
    refused(one, two, Signed.make(world.round_key(world.hosts[2], elsewhere), world.hosts[2]))


def test_keys_of_a_suite_are_not_taken_for_the_other() -> None:
    with pytest.raises(InvalidStatement):
        seal("mlkem768-x25519", public_key("x25519", bytes(32)), b"", b"x")
    with pytest.raises(InvalidStatement):
        seal("x25519", bytes(31), b"", b"x")
    with pytest.raises(InvalidStatement):
        public_key("x25519", bytes(31))


def test_the_noise_label_is_no_other_use_of_the_key() -> None:
    assert NOISE_LABEL == b"grid noise v1\0"


def test_memory_does_not_grow_with_an_update() -> None:
    """Sealed and opened a chunk at a time: 64 MiB in a few."""
    world, piece, count = World(), bytes(1 << 18), 256
    sealing = Sealing(
        world.place(0), (piece for _ in range(count)), count * len(piece), world.participants[0]
    )
    tracemalloc.start()
    try:
        sizes = [len(each) for each in sealing.pieces()]
        assert sum(sizes) == sealing.size
        assert max(sizes) == CHUNK + TAG
        assert tracemalloc.get_traced_memory()[1] < 6 * CHUNK
    finally:
        tracemalloc.stop()
