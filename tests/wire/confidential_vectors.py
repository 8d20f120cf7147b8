"""Write test vectors of the confidential protocol (``docs/confidential-protocol.md``), for other implementations.

    python -m tests.wire.confidential_vectors tests/wire/confidential/2.json

writes a new file and refuses one that is there: what was published once stays as it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from syft_ext.confidential.canonical import Signed, Statement, key_of
from syft_ext.confidential.certificates import person_of
from syft_ext.confidential.grants import ConfirmRequest, GrantInfo, GrantRequest, ReleaseInfo, ReturnInfo
from syft_ext.confidential.hpke import public_key
from syft_ext.confidential.receipts import Receipt
from syft_ext.confidential.sealing import Sealing, commit_to, share_info
from syft_ext.confidential.sessions import Challenge, ChallengeSet
from syft_ext.confidential.stream import CHUNK, seal_chunks
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.identity import Identity
from tests.confidential.world import NOW, World, digest

CONTENT = bytes(range(24)) * 2


def identity(number: int) -> Identity:
    """The same each time."""
    return Identity(SigningKey(bytes([number]) * 32))


def world() -> World:
    """Everybody's keys from numbers: 1 owner, 2 Domain, 3 authority, 4 worker, 5 to 7 hosts, 10… participants."""
    found = World(
        production=True,
        owner=identity(1),
        domain=identity(2),
        authority=identity(3),
        worker=identity(4),
        participants=[identity(number) for number in range(10, 14)],
    )
    found.hosts = sorted((identity(number) for number in (5, 6, 7)), key=lambda host: host.verify_key)
    return found


def said(statement: Statement, signer: Identity | None = None) -> dict[str, str]:
    """A statement as bytes, its digest, and a signature over that."""
    values = {"bytes": statement.encode().hex(), "digest": statement.digest().hex()}
    if signer is not None:
        signed = Signed.make(statement, signer)
        values |= {"signer": signed.signer.hex(), "signature": signed.signature.hex()}
    return values


def make() -> dict[str, Any]:
    home = world()
    host, keys = home.hosts[0], home.keys
    sealing = Sealing(home.place(0), [CONTENT], len(CONTENT), home.participants[0])
    blob = b"".join(sealing.pieces())
    one = sealing.declaration()
    two = home.sealed(1)[1]
    upload = UploadStatement.decode(one.entry.upload.body)
    manifest = home.manifest(one, two)
    bundle = home.receipt(manifest, digest("numbers"))
    session, key_id, output = home.session(host), keys[0].digest(), digest("sealed output")
    challenge = Challenge(key_of(host), b"\1" * 32, home.worker_keys.digest(), NOW, b"\2" * 32, b"\3" * 32)
    statements = {
        "ConfidentialPolicy": said(home.policy, home.owner),
        "ReportLayout": said(home.layout),
        "RoundContext": said(home.context),
        "RoundKey": said(keys[0], host),
        "ParticipantCertificate": said(home.certificate(0), home.authority),
        "SealedHeader": said(one.header),
        "SealedShares": said(one.shares),
        "ShareInfo": said(share_info(upload, home.policy, home.context, 0, keys[0])),
        "UploadStatement": said(upload, home.participants[0]),
        "ManifestEntry": said(one.entry),
        "Declaration": said(one),
        "Manifest": said(manifest, home.domain),
        "WorkerKeys": said(home.worker_keys),
        "Challenge": said(challenge),
        "ChallengeSet": said(ChallengeSet((challenge, challenge))),
        "SessionStatement": said(session, host),
        "GrantRequest": said(
            GrantRequest(key_of(host), manifest.digest(), (session.digest(),) * 3), home.worker
        ),
        "GrantInfo": said(GrantInfo(key_of(host), manifest.digest(), session.digest(), key_id)),
        "ReleaseInfo": said(ReleaseInfo(manifest.digest(), key_of(host), key_id, output)),
        "ConfirmRequest": said(
            ConfirmRequest(key_of(host), manifest.digest(), output, public_key("x25519", bytes(32)), NOW),
            home.domain,
        ),
        "ReturnInfo": said(ReturnInfo(key_of(host), manifest.digest(), output, key_id)),
        "Receipt": said(bundle.receipt.open(Receipt, key_of(home.worker)), home.worker),
        "ReceiptBundle": said(bundle),
    }
    long = bytes(range(256)) * (CHUNK // 256) + b"the last chunk"
    return {
        "statements": statements,
        "scope": {"owner": key_of(home.owner).hex(), "name": "study", "id": home.policy.scope.hex()},
        "person": {"digest": person_of(home.certificate(0)).hex()},
        "mechanism": {
            "noise_multiplier": home.policy.mechanism.noise_multiplier,
            "clip": home.policy.mechanism.clip,
            "rho": home.policy.mechanism.rho,
        },
        "round_secrets": [
            {
                "purpose": purpose,
                "seed": digest(f"{purpose} {host.verify_key}").hex(),
                "host": key_of(host).hex(),
                "secret": home.secret(host, purpose).hex(),
                "x25519": public_key("x25519", home.secret(host, purpose)).hex(),
                "mlkem768-x25519": public_key("mlkem768-x25519", home.secret(host, purpose)).hex(),
            }
            for purpose in ("upload", "release")
        ],
        "commitment": {"content_key": "11" * 32, "ck_commit": commit_to(b"\x11" * 32).hex()},
        "chunks": {
            "key": "22" * 32,
            "bound": "33" * 32,
            "content": "00 01 … ff, 4096 times, and 'the last chunk'",
            "last": list(seal_chunks(b"\x22" * 32, b"\x33" * 32, [long], len(long)))[-1].hex(),
        },
        "sealed": {
            "blob": blob.hex(),
            "content": CONTENT.hex(),
            "host_secrets": [home.secret(each, "upload").hex() for each in home.hosts],
            "round_keys": [signed.encode().hex() for signed in home.round_keys],
        },
    }


if __name__ == "__main__":
    path = Path(sys.argv[1])
    with path.open("x") as file:
        json.dump(make(), file, indent=1)
        file.write("\n")
