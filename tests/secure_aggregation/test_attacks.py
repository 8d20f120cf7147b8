"""A Domain that cheats learns nothing, and what it tried is named: of each thing that it could ask or show."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from syft_ext.confidential.canonical import digest_of
from syft_ext.errors import BadRequest, BadSignature, RoundRefused
from syft_ext.identity import Identity
from syft_ext.secure_aggregation.client import ClientRound, Record, pair_mask_key
from syft_ext.secure_aggregation.keys import SumKeys, agree, public_half, self_mask_key
from syft_ext.secure_aggregation.server import Phase, RoundPart
from syft_ext.secure_aggregation.statements import Advertisement, Roster, check_signed
from tests.secure_aggregation.machines import STEPS, Play, Shelf, a_round, rules, subject


def play(count: int = 6, **values: Any) -> Play:
    return Play(rules(count, **values), [np.full(4, 0.1 * (n + 1)) for n in range(count)])


def up_to(found: Play, phase: Phase) -> Play:
    for step in (found.advertise, found.share, found.mask, found.confirm, found.unmask):
        if found.server.phase is phase:
            break
        step()
    assert found.server.phase is phase
    return found


def refused(reason: str, action: Callable[[], object]) -> None:
    with pytest.raises(RoundRefused) as caught:
        action()
    assert caught.value.extra["reason"] == reason, caught.value


def signed(found: Play) -> list[tuple[bytes, bytes]]:
    return [(part.advertisement, part.signature) for part in found.server.parts.values()]


def listed(found: Play, members: list[tuple[bytes, bytes]]) -> bytes:
    return Roster.of(found.round.digest(), members).encode()


def forged(found: Play, **values: Any) -> tuple[bytes, bytes]:
    """Keys of somebody that the Domain has invented, or values in somebody's place."""
    somebody = Identity.generate()
    client = ClientRound(found.round, found.rules, somebody, Shelf(), subject)
    data, _ = client.advertise()
    said = Advertisement.decode(data)
    data = Advertisement(
        **{**{name: getattr(said, name) for name in said.__struct_fields__}, **values}
    ).encode()
    return data, somebody.sign(Advertisement.decode(data).digest())


# -- the list of keys ---------------------------------------------------------------------------------


def test_keys_of_others_that_are_not_theirs() -> None:
    found = up_to(play(), Phase.SHARES)
    mine, *others = signed(found)
    client = found.clients[0]
    victim = Advertisement.decode(others[0][0])
    swapped = forged(found, signer=victim.signer)
    refused("forged-keys", lambda: client.share(listed(found, [mine, swapped, *others[1:]])))
    refused(
        "forged-keys", lambda: client.share(listed(found, [mine, (others[0][0], bytes(64)), *others[1:]]))
    )


def test_this_participants_own_keys_replaced_or_left_out() -> None:
    found = up_to(play(), Phase.SHARES)
    _, *others = signed(found)
    client = found.clients[0]
    replaced = forged(found, signer=bytes.fromhex(client.signer.verify_key))
    refused("forged-keys", lambda: client.share(listed(found, [replaced, *others])))
    refused("forged-keys", lambda: client.share(listed(found, [forged(found), *others])))


def test_one_and_the_same_counted_twice() -> None:
    found = up_to(play(), Phase.SHARES)
    mine, *others = signed(found)
    client = found.clients[0]
    refused("roster", lambda: client.share(listed(found, [mine, others[0], *others[:-1]])))
    copied = Advertisement.decode(others[0][0])
    again = forged(found, mask_key=copied.mask_key)
    refused("roster", lambda: client.share(listed(found, [mine, again, *others[:-1]])))
    # By an authority's word, who has two keys is still one.
    client.who_is = lambda said: "the same hospital"
    refused("roster", lambda: client.share(listed(found, [mine, *others])))


def test_somebody_whom_no_authority_knows() -> None:
    found = up_to(play(), Phase.SHARES)
    client = found.clients[0]

    def nobody(said: Advertisement) -> str:
        raise RoundRefused("no certificate", reason="identity")

    client.who_is = nobody
    refused("identity", lambda: client.share(listed(found, signed(found))))


def test_too_few_or_too_many() -> None:
    found = up_to(play(), Phase.SHARES)
    members = signed(found)
    refused("too-few", lambda: found.clients[0].share(listed(found, members[:3])))
    refused("too-few", lambda: found.clients[0].share(listed(found, [*members, forged(found)])))


def test_another_model_for_some() -> None:
    """Model inconsistency: Pasquini, Francati, Ateniese 2022."""
    found, other = play(), play()
    other.clients[3].round = a_round(base=b"x" * 32)
    for number in range(6):
        client = (other if number == 3 else found).clients[number]
        found.server.parts[str(number)] = RoundPart(*client.advertise())
    found.advance()
    assert found.server.roster is not None
    roster = found.server.roster.encode()
    for client in found.clients[:3]:
        refused("base-model", partial(client.share, roster))
    refused("round-reused", partial(other.clients[3].share, roster))


def test_a_second_list_of_keys() -> None:
    found = up_to(play(), Phase.MASKED)
    mine, *others = signed(found)
    other = listed(found, [mine, forged(found), *others[1:]])
    refused("roster-changed", lambda: found.clients[0].share(other))
    refused("roster-changed", lambda: found.client(0).share(other))  # and after a restart


# -- a round that was there before ----------------------------------------------------------------------


def test_the_same_cycle_again() -> None:
    found = up_to(play(), Phase.SUM)
    again = ClientRound(a_round(attempt="b"), found.rules, found.clients[0].signer, found.shelves[0], subject)
    refused("round-reused", again.advertise)
    another_model = ClientRound(
        a_round(base=b"x" * 32), found.rules, found.clients[0].signer, found.shelves[0], subject
    )
    refused("round-reused", another_model.advertise)
    found.clients[0].close()
    refused("round-reused", found.client(0).advertise)
    first, last = (msgspec.msgpack.decode(found.shelves[0].kept[i], type=Record) for i in (0, -1))
    assert len(first.root) == 32 and first.root not in found.shelves[0].kept[-1] and not last.answer


def test_keys_that_nothing_hangs_on_are_made_anew() -> None:
    found = play()
    first = found.clients[0].advertise()
    other = ClientRound(a_round(attempt="b"), found.rules, found.clients[0].signer, found.shelves[0], subject)
    assert other.advertise()[0] != first[0]


def test_two_masked_vectors_under_one_key() -> None:
    found = up_to(play(), Phase.CONSISTENCY)
    assert found.server.roster is not None
    roster = found.server.roster.encode()
    for client in (found.clients[0], found.client(0)):
        client.share(roster)
        sealed = found.server.shares_for("0")
        same = client.mask(sealed, lambda: [np.full(4, 0.9)])
        assert bytes(same) == found.vectors[0], (
            "what was masked first is said again, whatever was learned since"
        )
        del sealed[max(sealed)]
        refused("round-reused", partial(client.mask, sealed, lambda: [np.zeros(4)]))
    found.shelves[0].content = b""
    client = found.client(0)
    client.share(roster)
    refused("lost", lambda: client.mask(found.server.shares_for("0"), lambda: [np.zeros(4)]))


# -- survivors and answers --------------------------------------------------------------------------------


def test_somebody_who_stayed_is_said_to_have_gone() -> None:
    found = up_to(play(), Phase.CONSISTENCY)
    mine = found.server.place("0")
    refused("split-survivors", lambda: found.clients[0].confirm([p for p in range(1, 7) if p != mine]))


def test_other_survivors_for_some() -> None:
    """Both secrets of a victim: half are told that it stayed, half that it went. No half can sign for the
    other's."""
    found = up_to(play(), Phase.CONSISTENCY)
    places = [found.server.place(str(n)) for n in range(6)]
    stayed, gone = places, [p for p in places if p != places[5]]
    first = {places[n]: found.clients[n].confirm(stayed) for n in (0, 1, 2)}
    second = {places[n]: found.clients[n].confirm(gone) for n in (3, 4)}
    refused("split-survivors", lambda: found.clients[0].unmask({**first, **second}))
    refused("too-few", lambda: found.clients[0].unmask(first))
    refused("split-survivors", lambda: found.clients[3].unmask({**second, **first}))
    refused("split-survivors", lambda: found.clients[0].unmask({**first, places[3]: bytes(64)}))


def test_both_secrets_of_one_participant() -> None:
    found = up_to(play(), Phase.UNMASK)
    assert found.server.roster is not None
    found.clients[0].unmask(found.server.confirmations)
    gone = [p for p in found.server.agreed.survivors if p != found.server.place("5")]
    refused("split-survivors", lambda: found.clients[0].confirm(gone))
    restarted = found.client(0)
    restarted.share(found.server.roster.encode())
    restarted.mask(found.server.shares_for("0"), lambda: [np.zeros(4)])
    refused("split-survivors", lambda: restarted.confirm(gone))
    # Asked the same again it says the same: an answer may be lost on the way.
    restarted.confirm(found.server.agreed.survivors)
    assert restarted.unmask(found.server.confirmations) == found.clients[0].unmask(found.server.confirmations)


class Full(Exception):
    """The participant's disk."""


def full(record: object) -> None:
    raise Full


@pytest.mark.parametrize("phase", [Phase.ADVERTISE, *STEPS])
def test_nothing_is_said_that_was_not_kept(phase: Phase) -> None:
    """Whatever a crash takes, it takes nothing that somebody has heard."""
    found = up_to(play(), phase)
    client, server = found.clients[0], found.server
    client.keeper.keep = client.keeper.note = full  # type: ignore[method-assign]
    actions: dict[Phase, Callable[[], object]] = {
        Phase.ADVERTISE: client.advertise,
        Phase.SHARES: lambda: client.share(server.roster.encode()),  # type: ignore[union-attr]
        Phase.MASKED: lambda: client.mask(server.shares_for("0"), lambda: [np.zeros(4)]),
        Phase.CONSISTENCY: lambda: client.confirm(server.agreed.survivors),
        Phase.UNMASK: lambda: client.unmask(server.confirmations),
    }
    with pytest.raises(Full):
        actions[phase]()


def test_what_is_opened_is_the_own_masks_of_who_stayed_and_the_pairs_of_who_went() -> None:
    found = play()
    found.silent = {5: Phase.MASKED}
    up_to(found, Phase.SUM)
    masks, roster = found.server.open(), found.server.roster
    assert roster is not None
    keys = {
        found.server.place(str(number)): SumKeys(msgspec.msgpack.decode(shelf.kept[0], type=Record).root)
        for number, shelf in enumerate(found.shelves)
    }
    gone = found.server.place("5")
    own = {place: self_mask_key(each.self_seed, roster.digest, place) for place, each in keys.items()}
    pairs = {
        (a, b): pair_mask_key(agree(keys[a].mask_key, public_half(keys[b].mask_key)), roster.digest, a, b)
        for a in keys
        for b in keys
        if a < b
    }
    opened = {own[place] for place in own if place != gone} | {pairs[pair] for pair in pairs if gone in pair}
    assert set(masks.plus) | set(masks.minus) == opened
    assert len(masks.plus) + len(masks.minus) == len(opened) == 10


def test_shares_that_a_participant_sealed_wrongly_harm_nobody() -> None:
    found = up_to(play(7, threshold=5), Phase.SHARES)
    assert found.server.roster is not None
    for number, client in enumerate(found.clients):
        sealed = client.share(found.server.roster.encode())
        found.server.share(str(number), [bytes(80), *sealed[1:]] if number == 2 else sealed)
    found.advance()
    for step in (found.mask, found.confirm, found.unmask):
        step()
    steps, _ = found.plain()
    assert (found.sum().steps == steps).all()


def test_statements_of_one_kind_are_never_of_another() -> None:
    found = up_to(play(), Phase.UNMASK)
    agreed = found.server.agreed
    with pytest.raises(BadRequest):
        Advertisement.decode(agreed.encode())
    signature = found.clients[0].signer.sign(digest_of(Advertisement, agreed.encode()))
    with pytest.raises(BadSignature):
        check_signed(agreed, bytes.fromhex(found.clients[0].signer.verify_key), signature)
