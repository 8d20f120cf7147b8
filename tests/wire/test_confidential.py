"""What was published of the confidential protocol is what today's code reads, computes and opens."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from syft_ext.confidential.canonical import Signed, Statement, digest_of
from syft_ext.confidential.certificates import ParticipantCertificate, person_of
from syft_ext.confidential.hpke import public_key, supported
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy, scope_id
from syft_ext.confidential.receipts import ReceiptBundle, check_receipt
from syft_ext.confidential.rounds import RoundContext, RoundKey, derive_secret, open_round_keys
from syft_ext.confidential.sealing import commit_to, open_content_key, opener_of, read_head
from syft_ext.confidential.stream import CHUNK, ChunkOpener, seal_chunks
from syft_ext.confidential.uploads import UploadStatement
from tests.confidential.world import all_statements

FILES = sorted((Path(__file__).parent / "confidential").glob("*.json"))
KINDS = {kind.__name__: kind for kind in all_statements()}


@cache
def vectors(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def statement(path: Path, name: str) -> Any:
    kind: Any = KINDS[name]
    return kind.decode(bytes.fromhex(vectors(path)["statements"][name]["bytes"]))


files = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@files
def test_statements_are_read_and_signed_as_published(path: Path) -> None:
    assert len(vectors(path)["statements"]) > 20
    for name, said in vectors(path)["statements"].items():
        kind: type[Statement] = KINDS[name]
        data = bytes.fromhex(said["bytes"])
        assert kind.decode(data).encode() == data, name
        assert digest_of(kind, data).hex() == said["digest"], name
        if "signature" in said:
            signer = bytes.fromhex(said["signer"])
            signed: Signed[Any] = Signed(data, signer, bytes.fromhex(said["signature"]))
            assert signed.open(kind, signer).encode() == data, name


@files
def test_what_follows_from_others_is_as_published(path: Path) -> None:
    found = vectors(path)
    policy: ConfidentialPolicy = statement(path, "ConfidentialPolicy")
    context: RoundContext = statement(path, "RoundContext")
    assert context.policy == policy.digest()
    assert (
        scope_id(bytes.fromhex(found["scope"]["owner"]), found["scope"]["name"]).hex() == found["scope"]["id"]
    )
    assert policy.scope.hex() == found["scope"]["id"]
    certificate: ParticipantCertificate = statement(path, "ParticipantCertificate")
    assert person_of(certificate).hex() == found["person"]["digest"]
    assert policy.mechanism.rho == found["mechanism"]["rho"]
    assert (
        commit_to(bytes.fromhex(found["commitment"]["content_key"])).hex() == found["commitment"]["ck_commit"]
    )
    for each in found["round_secrets"]:
        secret = derive_secret(
            bytes.fromhex(each["seed"]), each["purpose"], context, bytes.fromhex(each["host"])
        )
        assert secret.hex() == each["secret"]
        assert public_key("x25519", secret).hex() == each["x25519"]
        if supported("mlkem768-x25519"):
            assert public_key("mlkem768-x25519", secret).hex() == each["mlkem768-x25519"]


@files
def test_chunks_are_sealed_as_published(path: Path) -> None:
    said = vectors(path)["chunks"]
    key, bound = bytes.fromhex(said["key"]), bytes.fromhex(said["bound"])
    content = bytes(range(256)) * (CHUNK // 256) + b"the last chunk"
    assert list(seal_chunks(key, bound, [content], len(content)))[-1].hex() == said["last"]
    opened = ChunkOpener(key, bound, len(content)).open(1, bytes.fromhex(said["last"]), bytearray(CHUNK))
    assert bytes(opened) == b"the last chunk"


@files
def test_a_published_update_opens(path: Path) -> None:
    said, policy = vectors(path)["sealed"], statement(path, "ConfidentialPolicy")
    blob, context = bytes.fromhex(said["blob"]), statement(path, "RoundContext")
    signed: tuple[Signed[RoundKey], ...] = tuple(
        Signed.decode(bytes.fromhex(each)) for each in said["round_keys"]
    )
    keys = open_round_keys(signed, tuple(host.key for host in policy.hosts), context)
    header, shares, start = read_head(blob)
    upload: UploadStatement = statement(path, "UploadStatement")
    host_secrets = [bytes.fromhex(each) for each in said["host_secrets"]]
    key = open_content_key(upload, shares, policy, context, keys, host_secrets)
    opened = opener_of(key, header).open(0, blob[start:], bytearray(CHUNK))
    assert bytes(opened).hex() == said["content"]
    bundle: ReceiptBundle = statement(path, "ReceiptBundle")
    manifest: Manifest = statement(path, "Manifest")
    assert check_receipt(bundle, policy, manifest).participants == 2


def test_there_are_vectors() -> None:
    assert FILES


def test_the_page_names_every_statement() -> None:
    """But those that are parts of one, which stand with its fields, and asks, in which nobody believes."""
    page = (Path(__file__).parents[2] / "docs" / "confidential-protocol.md").read_text()
    parts = {
        "host",
        "cohort",
        "mechanism",
        "budget",
        "windows",
        "head",
        "host head",
        "denials",
        "report tensor",
    }
    carried = {
        "signed",
        "manifest entry",
        "person",
        "receipt bundle",
        "output header",
        "offer",
        "recorded session",
    }
    logs = {"witnessed head", "inclusion"}
    for kind in KINDS.values():
        name, module = kind.statement, kind.__module__
        if module.endswith(".asks") or not module.startswith("syft_ext.confidential"):
            continue
        assert name in parts | carried | logs or f"`{name}`" in page or f'("{name}")' in page, name
