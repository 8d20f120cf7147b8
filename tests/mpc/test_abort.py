"""One party of three that does as it likes: each message that it changes ends the run, with nothing opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from syft_ext.errors import OutOfRange, ProtocolAborted
from syft_ext.mpc import functions
from syft_ext.mpc.engine import Given, ShareEngine, ShareRound, Steps
from syft_ext.mpc.falcon_abort import FalconAbort
from syft_ext.mpc.local import run_together
from syft_ext.mpc.ring import KEY_BYTES, WordStream
from syft_ext.mpc.shares import ShareTensor
from syft_ext.mpc.verified import Gates
from tests.mpc.parties import STEP, Ran, replicated, run, stepped

_X = stepped(torch.linspace(-3, 3, 4))
_W = stepped(torch.linspace(-1, 1, 48).reshape(4, 12))
_RIGHT = ("Falcon", "malicious")


def _program(engine: ShareEngine, x: ShareTensor, w: ShareTensor) -> Steps[ShareTensor]:
    """A matrix product with more results than sums that stand for it, a truncation, a comparison."""
    square = x.each(lambda part: part.reshape(4, 1).expand(4, 4).t())
    tall = square.each(lambda part: part.repeat(3, 1))
    (wide,) = yield from engine.multiply_all([("matmul", tall, w)])
    some = yield from engine.rounded(wide.each(lambda part: part.reshape(-1)[:5]))
    return (yield from functions.relu(engine, some))


def _ran(change: Callable[[int, ShareRound], ShareRound] | None = None, **options: Any) -> Ran:
    return run(_program, _X, _W, bound=8.0, protocol=_RIGHT, change=change, **options)


class Lying:
    """Changes one bit of message ``number`` of ``party``; counts its messages, and rounds of an honest party."""

    def __init__(self, party: int, number: int) -> None:
        self.party, self.number, self.seen, self.honest = party, number, 0, 0

    def __call__(self, party: int, turn: ShareRound) -> ShareRound:
        self.honest += party == (self.party + 1) % 3
        if party != self.party:
            return turn
        sent: dict[int, list[torch.Tensor]] = {}
        for receiver, tensors in turn.sent.items():
            sent[receiver] = []
            for tensor in tensors:
                changed = tensor
                if tensor.numel():
                    if self.seen == self.number:
                        changed = tensor.clone()
                        changed.reshape(-1)[-1] ^= 1
                    self.seen += 1
                sent[receiver].append(changed)
        return ShareRound(sent, turn.awaited)


def test_whoever_follows_the_protocol_gets_what_torch_does() -> None:
    ran = _ran(pool=3 << 14)
    right = (_X.reshape(4, 1).expand(4, 4).t().repeat(3, 1) @ _W).relu().reshape(-1)[:5]
    assert float((ran.value - right).abs().max()) <= STEP


@pytest.mark.parametrize("party", [0, 1, 2])
def test_each_changed_message_ends_the_run(party: int) -> None:
    """Parties send alike: each of all messages is changed by one of the three."""
    whole = Lying(party, -1)
    _ran(whole)
    assert whole.seen > 60
    for number in range(party, whole.seen, 3):
        lying = Lying(party, number)
        with pytest.raises(ProtocolAborted):
            _ran(lying)
        # The result is opened in the last round. Honest parties reach it only where the lie is told in it, or in
        # the round before, after everything is proved: whether all ranges held, told to one of them rightly.
        assert lying.honest < whole.honest or number >= whole.seen - 4, number


def test_nothing_is_opened_that_passes_with_an_error_added_to_all_copies() -> None:
    """Whoever adds the same to a product and to all random ones is found by those that are opened."""

    def adding(party: int, turn: ShareRound) -> ShareRound:
        if party != 1:
            return turn
        sent = {
            other: [
                each + 1 if each.dtype is torch.int64 and each.numel() >= 51 else each for each in tensors
            ]
            for other, tensors in turn.sent.items()
        }
        return ShareRound(sent, turn.awaited)

    with pytest.raises(ProtocolAborted):
        run(lambda e, a: e.multiply(a, a), torch.ones(60), bound=8.0, protocol=_RIGHT, change=adding)


class _Fixed(FalconAbort):
    """Whose coins everybody knows before."""

    def toss(self) -> Steps[None]:
        self._coins = WordStream(bytes(KEY_BYTES))
        return
        yield


class _Hiding(_Fixed):
    """Adds to a sum of ``terms`` products, and to one random product for each copy, at different terms."""

    terms = 20

    def _handed_down(self, tensors: list[torch.Tensor]) -> Steps[list[torch.Tensor]]:
        for tensor in tensors:
            copies, left_over = divmod(tensor.numel(), self.terms)
            if tensor.shape == (1, 1):
                tensor += 1000
            elif tensor.dim() == 1 and copies == left_over > 1:
                order = torch.argsort(WordStream(bytes(KEY_BYTES)).words(tuple(tensor.shape)))
                for copy in range(copies):
                    tensor[order[copy * self.terms + copy]] += 1000
        return (yield from super()._handed_down(tensors))


@pytest.mark.parametrize("cheat", [_Fixed, _Hiding])
def test_an_error_does_not_hide_in_a_sum_at_another_term_of_each_copy(cheat: type[FalconAbort]) -> None:
    """Of an inner product only the sum is known: if each copy's sum were held against it, one wrong random product
    anywhere in each would do, and long sums pass by chance."""

    def program(engine: ShareEngine) -> Steps[list[torch.Tensor]]:
        ones = torch.ones((1, _Hiding.terms), dtype=torch.int64)
        x, y = engine.constant(ones, 0, 1), engine.constant(ones.t(), 0, 1)
        (found,) = yield from engine.multiply_all([("matmul", x, y)])
        yield from engine.settle()
        return (yield from engine.open([found]))

    keys = [bytes([place]) * KEY_BYTES for place in range(3)]
    kinds: Sequence[type[FalconAbort]] = (_Fixed, cheat, _Fixed)
    parties = [
        kind(place, 16, (keys[place], keys[(place + 1) % 3]), bytes(KEY_BYTES))
        for place, kind in enumerate(kinds)
    ]
    for party in parties:
        party.pool = 48
    if cheat is _Fixed:
        assert [int(each[0]) for each in run_together([program(party) for party in parties])[0]] == [20] * 3
        return
    with pytest.raises(ProtocolAborted, match="a product is not what it must be"):
        run_together([program(party) for party in parties])


@pytest.mark.parametrize("echoes", [False, True])
def test_who_throws_different_coins_with_two_parties_is_told_nothing_more(echoes: bool) -> None:
    """They would open different random products, and each tell what hides the numbers of the other. ``echoes``:
    and says of the third party what is not so."""
    coin = torch.arange(2 * KEY_BYTES, dtype=torch.uint8)
    rounds: list[int] = []
    shown = False

    def change(party: int, turn: ShareRound) -> ShareRound:
        nonlocal shown
        rounds.append(party)
        sizes = {other: [each.dtype for each in tensors] for other, tensors in turn.sent.items()}
        if party != 1 or shown or torch.uint8 not in sizes.get(2, []):
            return turn
        if len(sizes[2]) == 1:
            return ShareRound({**turn.sent, 2: [FalconAbort._digest(1, coin)]}, turn.awaited)
        shown = True
        rounds.clear()
        said = turn.sent[2][1].flip(0) if echoes else turn.sent[2][1]
        return ShareRound({**turn.sent, 2: [coin, said]}, turn.awaited)

    with pytest.raises(ProtocolAborted, match="committed to another coin elsewhere"):
        _ran(change)
    assert shown and set(rounds) <= {2}  # whose turn was in the round in which the coins are shown


@pytest.mark.parametrize(("raw", "right"), [(8, True), (-8, True), (9, False), (-9, False), (1 << 62, False)])
def test_an_input_out_of_its_range_ends_the_run_though_its_owner_dealt_it(raw: int, right: bool) -> None:
    engines = replicated(_RIGHT)

    def program(engine: ShareEngine) -> Steps[list[torch.Tensor]]:
        given = torch.tensor([raw if engine.index == 1 else 0])
        shares = yield from engine.deal([Given(1, given, 0, 8)])
        yield from engine.settle()
        return (yield from engine.open(shares))

    programs = [program(engine) for engine in engines]
    if right:
        assert [int(each[0]) for each in run_together(programs)[0]] == [raw] * 3
    else:
        with pytest.raises(OutOfRange):
            run_together(programs)


def test_matrix_products_without_anything_to_add_up_are_proved_too() -> None:
    a, b = torch.zeros(2, 0), torch.zeros(0, 3)
    found = run(lambda e, x, y: e.multiply(x, y, "matmul"), a, b, bound=1.0, protocol=_RIGHT)
    assert torch.equal(found.value, torch.zeros(2, 3).double())


def test_proofs_of_much_are_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and messages stay small; results of several products are not torn apart."""
    whole = _ran()
    monkeypatch.setattr(FalconAbort, "most", 40)
    ran = _ran()
    assert torch.equal(ran.value, whole.value) or float((ran.value - whole.value).abs().max()) <= STEP
    assert ran.expected.rounds > 2 * whole.expected.rounds
    for number in range(40, 400, 60):
        with pytest.raises(ProtocolAborted):
            _ran(Lying(1, number))
    places = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 4])
    flat = torch.arange(11)
    pieces = list(Gates((flat,), (flat,), (torch.arange(5),), places).pieces(3))
    assert [each.left[0].tolist() for each in pieces] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9, 10]]
    assert [each.result[0].tolist() for each in pieces] == [[0], [1, 2], [3, 4]]
    assert [each.places.tolist() for each in pieces] == [[0, 0, 0], [0, 1, 1], [0, 1, 1, 1, 1]]
