"""What a Worker's node and its participant process say to each other: JSON lines over a pair of pipes."""

from __future__ import annotations

import msgspec

__all__ = [
    "ParticipantCommand",
    "ParticipantEvent",
    "ParticipantSetup",
    "decode_command",
    "decode_event",
    "decode_setup",
    "encode",
]


class ParticipantSetup(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The first line to the participant. Secrets come here, not on its command line."""

    domain: str
    domain_key: str
    node_key_file: str
    ca_file: str
    token: str
    data: str
    target: str
    classes: list[str]
    standardise: str
    statistics: str
    shuffle_seed: int
    plan_seconds: float
    log_format: str
    log_level: str
    plan_memory: int


class ParticipantCommand(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``action``: join or leave the training of that name and version."""

    action: str
    name: str
    version: str


class ParticipantEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What happened: ready (data loaded), refused (data unusable), cycle, reported, over, failed."""

    event: str
    name: str = ""
    version: str = ""
    cycle: int = 0
    samples: int = 0
    loss: float | None = None
    accuracy: float | None = None
    text: str = ""


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
