"""Write ``sealed.json``: the opening of a sealed pipe and its first messages, as both ends made them once.

    python -m tests.wire.sealed_vectors

refuses where it is there: what was written once stays as it is. Keys and secrets are fixed; those that HPKE draws
for itself are in the bytes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nacl.signing import SigningKey

from syft_ext.errors import Unavailable
from syft_ext.identity import Identity
from syft_ext.transport.frames import Piece
from syft_ext.transport.relayed import sealed

__all__ = ["FILE", "SEED"]

FILE = Path(__file__).parent / "sealed.json"
SEED = bytes(range(100, 132))
OWN, ASKED, ANSWERED = (bytes(range(start, start + 32)) for start in (1, 40, 160))
MESSAGES = [b"", b"ping", bytes(range(256))]


class Carrier:
    """Says what it is told to, and keeps what is said."""

    max_message = None

    def __init__(self, *waiting: bytes) -> None:
        self.waiting, self.said = list(waiting), list[bytes]()

    def send(self, message: Iterable[Piece]) -> None:
        self.said.append(b"".join(message))

    def receive(self) -> bytes | None:
        return self.waiting.pop(0) if self.waiting else None

    def close(self, code: int = 1000, reason: str = "") -> None:
        pass


def make() -> dict[str, object]:
    """What both ends say."""
    node, own = Identity(SigningKey(SEED)), X25519PrivateKey.from_private_bytes(OWN)
    asks = Carrier()
    with (
        patch("os.urandom", lambda size: ASKED),
        patch(f"{sealed.__name__}.X25519PrivateKey.generate", lambda: own),
    ):
        hello = _said_first(asks, node.verify_key)
    answers = Carrier(hello)
    with patch("os.urandom", lambda size: ANSWERED):
        answering = sealed.answer_sealed(answers, node)
    for message in MESSAGES:
        answering.send([message])
    welcome, *replies = answers.said
    caller = Carrier(welcome)
    keys = sealed._keys(ASKED + ANSWERED, hello, welcome)
    asking = sealed.SealedPipe(caller, *keys)
    for message in MESSAGES:
        asking.send([message])
    return {
        "seed": SEED.hex(),
        "verify_key": node.verify_key,
        "own": OWN.hex(),
        "asked": ASKED.hex(),
        "answered": ANSWERED.hex(),
        "hello": hello.hex(),
        "welcome": welcome.hex(),
        "messages": [message.hex() for message in MESSAGES],
        "asks": [message.hex() for message in caller.said],
        "answers": [message.hex() for message in replies],
    }


def _said_first(carrier: Carrier, verify_key: str) -> bytes:
    """The hello; nobody answers it yet."""
    with contextlib.suppress(Unavailable):
        sealed.ask_sealed(carrier, verify_key)
    return carrier.said[0]


if __name__ == "__main__":
    with FILE.open("x") as file:
        file.write(json.dumps(make(), indent=1) + "\n")
