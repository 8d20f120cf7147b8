"""What a Worker's node and its participant process say to each other: JSON lines over a pair of pipes."""

from __future__ import annotations

from typing import Literal

import msgspec

from syft_ext.messages.training_reviews import DefinitionFacts, WorkerBounds
from syft_ext.messages.vocabulary import TableOptions
from syft_ext.messages.worker import OfferedPlan, TrainingTrial

__all__ = [
    "ParticipantCommand",
    "ParticipantEvent",
    "ParticipantSetup",
    "TrainingLook",
    "decode_command",
    "decode_event",
    "decode_setup",
    "encode",
]


class ParticipantSetup(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The first line to the participant. Secrets come here, not on its command line.

    ``pins``: the file of pins for confidential trainings; "": there are none.
    """

    domain: str
    node_key_file: str
    ca_file: str
    token: str
    data: str
    target: str
    classes: list[str]
    columns: list[str]
    schema: str
    standardise: str
    statistics: str
    shuffle_seed: int
    plan_seconds: float
    plan_executor: Literal["torch", "onnx"] = "torch"
    log_format: str
    log_level: str
    plan_memory: int
    plan_limits: dict[str, int] = {}
    bounds: WorkerBounds
    permissive: bool = False
    pins: str = ""
    text: TableOptions = TableOptions()
    privacy_budget: float = 0.0


class ParticipantCommand(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``action``: join or leave the training of that name and version, whose definition has that digest, or
    look at it; then ``ticket`` comes back with what was seen, and ``trial`` says whether to try it out.
    ``domain_key``: that of the Domain that it was seen at."""

    action: str
    name: str
    version: str
    digest: str
    domain_key: str
    ticket: str = ""
    trial: bool = False


class TrainingLook(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A training as the participant read it, whose digest it computed: see
    :class:`~syft_ext.messages.worker.OfferView`. ``shown``: its texts by name; ``data``: how the owner's
    compare."""

    definition: DefinitionFacts
    plans: list[OfferedPlan]
    shown: dict[str, str]
    trial: TrainingTrial | None = None
    data: list[str] = []


class ParticipantEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What happened: ready (the data can be read; ``notes``: which columns some trainings cannot take),
    unusable (they cannot), refused (the participant cannot begin, and ends), looked, agreed (what runs is what was
    approved), unfit (the data are not what the training takes), fits (they are, after that), cycle,
    reported, over, spent (as many reports as the bounds allow), left, failed."""

    event: str
    name: str = ""
    version: str = ""
    digest: str = ""
    ticket: str = ""
    look: TrainingLook | None = None
    shown: dict[str, str] | None = None
    cycle: int = 0
    samples: int = 0
    loss: float | None = None
    accuracy: float | None = None
    text: str = ""
    notes: list[str] = []


def encode(line: ParticipantSetup | ParticipantCommand | ParticipantEvent) -> bytes:
    """One line, with its line feed; JSON within has none."""
    return msgspec.json.encode(line) + b"\n"


def decode_event(line: bytes) -> ParticipantEvent:
    """Raises ``msgspec.DecodeError`` for a line of the participant that is no event."""
    event: ParticipantEvent = msgspec.json.decode(line, type=ParticipantEvent)
    return event


def decode_command(line: bytes) -> ParticipantCommand:
    """Raises ``msgspec.DecodeError`` for a line of the node that is no command."""
    command: ParticipantCommand = msgspec.json.decode(line, type=ParticipantCommand)
    return command


def decode_setup(line: bytes) -> ParticipantSetup:
    """Raises ``msgspec.DecodeError`` for a first line that is no set-up."""
    setup: ParticipantSetup = msgspec.json.decode(line, type=ParticipantSetup)
    return setup
