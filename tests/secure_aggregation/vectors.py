"""One round of five participants, of whom one drops out, in all its bytes: for other implementations to read.

    python -m tests.secure_aggregation.vectors tests/wire/secure_aggregation.json

writes it, and refuses a file that is there: what was published stays as it is. Keys and roots are fixed;
numbers are in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nacl.signing import SigningKey
from numpy.typing import NDArray

from syft_ext.identity import Identity
from syft_ext.secure_aggregation.client import ClientRound
from syft_ext.secure_aggregation.keys import SumKeys, public_half
from syft_ext.secure_aggregation.server import MaskedSum, ServerRound
from tests.secure_aggregation.machines import Shelf, a_round, rules, subject

__all__ = ["PUBLISHED", "made"]

PUBLISHED = Path(__file__).parents[1] / "wire" / "secure_aggregation.json"
COUNT, GONE = 5, 3


def _fixed(what: str, number: int) -> bytes:
    return hashlib.sha256(f"{what} {number}".encode()).digest()


def _root(number: int, size: int) -> bytes:
    return _fixed("root", number)[:size]


def _parts(difference: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [difference]


def made() -> dict[str, Any]:
    """The round, as the machines make it now."""
    found, round_ = rules(COUNT, bits=32, clip=1.0), a_round()
    differences = [np.array([0.25, -0.5, 2.0**-20]) * (number + 1) / 8 for number in range(COUNT)]
    clients = [
        ClientRound(
            round_,
            found,
            Identity(SigningKey(_fixed("signing key", number))),
            Shelf(),
            subject,
            fresh=partial(_root, number),
        )
        for number in range(COUNT)
    ]
    server = ServerRound(found, round_.digest(), {})
    said: list[dict[str, Any]] = []
    for number, client in enumerate(clients):
        keys, signature = client.advertise()
        server.advertise(str(number), keys, signature)
        secret = SumKeys(_fixed("root", number))
        said.append(
            {
                "signing_key": _fixed("signing key", number).hex(),
                "root": secret.root.hex(),
                "mask_seed": secret.mask_seed.hex(),
                "self_seed": secret.self_seed.hex(),
                "mask_key": public_half(secret.mask_key).hex(),
                "seal_key": public_half(secret.seal_key).hex(),
                "difference": differences[number].tolist(),
                "keys": keys.hex(),
                "keys_signature": signature.hex(),
            }
        )
    server.advance()
    assert server.roster is not None
    for number, client in enumerate(clients):
        shares = client.share(server.roster.encode())
        server.share(str(number), shares)
        said[number] |= {"place": server.place(str(number)), "shares": [each.hex() for each in shares]}
    server.advance()
    total = MaskedSum(3, found)
    for number, client in enumerate(clients):
        if number != GONE:
            words = bytes(client.mask(server.shares_for(str(number)), partial(_parts, differences[number])))
            server.parts[str(number)].masked = True
            total.add(words)
            said[number]["masked_words"] = words.hex()
    server.advance(overdue=True)
    living = [number for number in range(COUNT) if number != GONE]
    for number in living:
        signature = clients[number].confirm(server.agreed.survivors)
        server.confirm(str(number), signature)
        said[number]["survivors_signature"] = signature.hex()
    server.advance()
    for number in living:
        answer = clients[number].unmask(server.confirmations)
        server.answer(str(number), answer)
        said[number]["answer"] = answer.hex()
    opened = total.open(server.open())
    return {
        "rules": {name: getattr(found, name) for name in found.__struct_fields__},
        "round": round_.encode().hex(),
        "round_digest": round_.digest().hex(),
        "roster": server.roster.encode().hex(),
        "roster_digest": server.roster.digest.hex(),
        "survivors": server.agreed.encode().hex(),
        "participants": said,
        "sum": opened.steps.tolist(),
        "weight": opened.weight,
        "step": f"2^{found.grid.exponent}",
    }


if __name__ == "__main__":
    with Path(sys.argv[1]).open("x") as file:
        file.write(json.dumps(made(), indent=1) + "\n")
