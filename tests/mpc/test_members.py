"""Members of a computation on shares as state machines: frames between them, and what becomes of changed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import chi2  # type: ignore[import-untyped]

import syft_ext as sy
from syft_ext.errors import BadRequest, GridError, OutOfRange, ProtocolAborted
from syft_ext.messages.shared_terms import SharedInput, SharedTerms
from syft_ext.mpc.member import SharedMember, SharedProgram
from syft_ext.mpc.reader import SharedReader, carry
from syft_ext.mpc.seals import Frame, Seals, frames_of, packed_frames

_KEYS = [f"{n}" * 64 for n in (1, 2, 3)]


@sy.make_plan
def regression(
    xs: Any = torch.zeros(8, 3),
    ys: Any = torch.zeros(8, 1),
    w: Any = torch.zeros(3, 1),
    lr: Any = torch.tensor(0.1),
) -> Any:
    error = xs @ w - ys
    return (error * error).mean(), w - lr * (xs.t() @ error) / 8


#: By protocol: who deals which input, and the other fields of the terms.
KINDS: dict[str, dict[str, Any]] = {
    "Beaver": {"parties": _KEYS[:2], "dealer": _KEYS[2]},
    "Falcon": {"protocol": "Falcon", "parties": _KEYS},
}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return KINDS[request.param]


def terms(reader: SharedReader, **changes: Any) -> SharedTerms:
    last = len(changes.get("parties", _KEYS[:2])) - 1
    fields: dict[str, Any] = {
        "protocol": "Beaver",
        "precision": 16,
        "parties": _KEYS[:2],
        "dealer": None if changes.get("protocol") else _KEYS[2],
        "inputs": [
            SharedInput(name="xs", party=0, shape=[8, 3], bound=8.0),
            SharedInput(name="ys", party=1, shape=[8, 1], bound=8.0),
            SharedInput(name="w", party=last, shape=[3, 1], bound=8.0),
        ],
        "steps": 3,
        "carried": {regression.outputs[1].name: "w"},
        "opened": [each.name for each in regression.outputs],
        "reader": reader.key,
    }
    return SharedTerms(**(fields | changes))


class Story:
    """All members and a reader in this process; all frames are kept."""

    def __init__(self, change: Callable[[Frame], Frame] = lambda frame: frame, **changes: Any) -> None:
        torch.manual_seed(1)
        self.xs, self.ys, self.w = torch.randn(8, 3), torch.randn(8, 1), torch.zeros(3, 1)
        self.reader = SharedReader()
        self.terms = terms(self.reader, **changes)
        public = {"lr": torch.tensor(0.1)}
        self.program = SharedProgram(regression.document, self.terms, public)
        own: list[dict[str, torch.Tensor]] = [{"xs": self.xs}, {"ys": self.ys}, {}]
        own[self.terms.inputs[2].party]["w"] = self.w
        self.members = [SharedMember(i, self.program, own[i]) for i in range(3)]
        self.frames: list[Frame] = []
        self.change = change
        self.keys = [member.public_key for member in self.members]

    def run(self) -> list[torch.Tensor]:
        for member in self.members:
            member.begin(self.keys, b"t" * 32)
        dealer = None if self.terms.dealer is None else 2
        for_reader = carry([self._advance(member) for member in self.members], dealer)
        return self.reader.results(for_reader, self.keys, b"t" * 32, [[], [3, 1]], self.terms)

    def _advance(self, member: SharedMember) -> Callable[[list[Frame]], tuple[list[Frame], bool]]:
        def advance(frames: list[Frame]) -> tuple[list[Frame], bool]:
            sent = member.advance(frames_of(packed_frames(frames)))
            self.frames += sent
            return [self.change(frame) for frame in sent], member.finished

        return advance

    def expected(self) -> tuple[torch.Tensor, torch.Tensor]:
        w, loss = self.w, torch.zeros(())
        for _ in range(self.terms.steps):
            loss, w = regression.run([self.xs, self.ys, w, torch.tensor(0.1)])
        return loss, w


def test_members_compute_what_torch_does(kind: dict[str, Any]) -> None:
    story = Story(**kind)
    found = story.run()
    for one, two in zip(found, story.expected(), strict=True):
        assert float((one - two).abs().max()) < 1e-3


def test_carried_frames_are_uniform_and_say_nothing_twice(kind: dict[str, Any]) -> None:
    story = Story(steps=20, **kind)
    story.run()
    seen = b"".join(frame.data for frame in story.frames)
    counts = np.bincount(np.frombuffer(seen, np.uint8), minlength=256)
    expected = len(seen) / 256
    assert float(((counts - expected) ** 2 / expected).sum()) < float(chi2.isf(1e-6, 255))
    assert len({frame.data for frame in story.frames}) == len(story.frames)


def test_each_changed_frame_ends_the_session_and_opens_nothing(kind: dict[str, Any]) -> None:
    story = Story(steps=1, **kind)
    story.run()
    for number in range(len(story.frames)):
        seen = iter(range(10_000))

        def change(frame: Frame, number: int = number, seen: Any = seen) -> Frame:
            if next(seen) != number:
                return frame
            return msgspec.structs.replace(frame, data=bytes([frame.data[0] ^ 1]) + frame.data[1:])

        with pytest.raises(ProtocolAborted):
            Story(change, steps=1, **kind).run()


def test_a_frame_that_comes_twice_or_from_elsewhere_is_refused() -> None:
    story = Story(steps=1)
    for member in story.members:
        member.begin(story.keys, b"t" * 32)
    sent = story.members[2].advance([])
    first = [frame for frame in sent if frame.receiver == 0]
    story.members[0].advance(first)
    with pytest.raises(ProtocolAborted):
        story.members[0].advance(first)
    with pytest.raises(ProtocolAborted):
        story.members[0].advance([])  # it is over
    with pytest.raises(ProtocolAborted):
        story.members[1].advance(first)  # not for this one


def test_a_member_knows_its_own_key_and_one_transcript() -> None:
    story = Story(steps=1)
    with pytest.raises(ProtocolAborted):
        story.members[0].begin([story.keys[1], story.keys[0], story.keys[2]], b"t" * 32)
    story.members[0].begin(story.keys, b"t" * 32)
    story.members[1].begin(story.keys, b"u" * 32)
    story.members[2].begin(story.keys, b"t" * 32)
    with pytest.raises(ProtocolAborted):
        carry([story._advance(member) for member in story.members], 2)


def test_what_leaves_its_range_opens_nothing(kind: dict[str, Any]) -> None:
    with pytest.raises(OutOfRange):
        small = [msgspec.structs.replace(each, bound=0.01) for each in terms(SharedReader(), **kind).inputs]
        Story(inputs=small, **kind)
    # Divergence: the carried weights leave the range that was stated for them.
    story = Story(steps=2, **kind)
    story.program.public[3] = torch.tensor(1000.0)
    with pytest.raises(OutOfRange):
        story.run()
    assert not any(frame.receiver == 3 for frame in story.frames)


def test_when_a_run_ends_does_not_tell_which_step_left_its_range(kind: dict[str, Any]) -> None:
    """With these rates the weights leave it in step 3, 2 and 1 of 4; who carries frames counts them."""
    counts = set()
    for rate in (2.0, 5.0, 30.0):
        story = Story(steps=4, **kind)
        story.program.public[3] = torch.tensor(rate)
        with pytest.raises(OutOfRange):
            story.run()
        counts.add(len(story.frames))
    assert len(counts) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"dealer": _KEYS[0]},
        {"parties": [_KEYS[0], _KEYS[0]]},
        {"protocol": "Falcon"},
        {"protocol": "Falcon", "parties": _KEYS, "dealer": "4" * 64},
        {"parties": _KEYS, "dealer": "4" * 64},
        {"dealer": None},
        {"opened": ["nothing"]},
        {"carried": {}, "steps": 2},
        {"carried": {"loss": "lr"}},
        {"inputs": [SharedInput(name="xs", party=1, shape=[8, 4], bound=8.0)]},
        {"inputs": [SharedInput(name="elsewhere", party=1, shape=[8, 3], bound=8.0)]},
    ],
)
def test_terms_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(GridError):
        SharedProgram(regression.document, terms(SharedReader(), **changes), {"lr": torch.tensor(0.1)})


def test_a_digest_is_of_all_terms() -> None:
    reader = SharedReader()
    digests = {
        terms(reader, **changes).digest("p", "v")
        for changes in ({}, {"precision": 12}, {"steps": 4}, {"dealer": "4" * 64}, {"parties": _KEYS[1::-1]})
    }
    assert len(digests) == 5
    with pytest.raises(BadRequest):
        frames_of(b"\x93\x01\x02\x03")


@pytest.mark.parametrize("number", [2, 5, 40, 41])
def test_a_host_that_cheats_ends_the_run_before_anything_is_for_the_reader(number: int) -> None:
    """It seals what it should not say: of a product, an adder, and what is opened."""
    story = Story(steps=1, security="malicious", **KINDS["Falcon"])
    liar, told = story.members[1], iter(range(10_000))
    send = liar._send

    def lying(receiver: int, data: bytes) -> None:
        send(receiver, bytes([data[0] ^ 1]) + data[1:] if next(told) == number else data)

    liar._send = lying  # type: ignore[method-assign]
    with pytest.raises(ProtocolAborted):
        story.run()
    assert next(told) > number
    assert not any(frame.receiver == 3 and frame.sender != 1 for frame in story.frames)


def test_a_reader_refuses_a_component_that_two_parties_say_differently() -> None:
    story = Story(steps=1, **KINDS["Falcon"])
    for member in story.members:
        member.begin(story.keys, b"t" * 32)
    frames = carry([story._advance(member) for member in story.members])
    lying = story.members[1]
    good = next(frame for frame in frames if frame.sender == 1)
    opened = story.reader.results(frames, story.keys, b"t" * 32, [[], [3, 1]], story.terms)
    assert float((opened[1] - story.expected()[1]).abs().max()) < 1e-3
    for place in range(0, 64, 8):  # a whole share of the loss, of two components, and of the weights
        assert lying._seals is not None
        lying._seals._out.clear()
        reader = Seals(3, story.reader._secret, [*story.keys, bytes.fromhex(story.reader.key)], b"t" * 32)
        data = bytearray(reader.open(good))
        data[place] ^= 1
        bad = [frame for frame in frames if frame.sender != 1] + [lying._seals.seal(3, bytes(data))]
        with pytest.raises(ProtocolAborted, match="different shares"):
            story.reader.results(bad, story.keys, b"t" * 32, [[], [3, 1]], story.terms)
