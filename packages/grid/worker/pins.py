"""A Worker's pins for confidential trainings: its owner's file, checked against the Worker's own key.

Without pins it takes part in no confidential training; with them, in nothing in the clear.
"""

from __future__ import annotations

from pathlib import Path

from syft_ext.confidential.canonical import key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.pins import read_pins
from syft_ext.confidential.trust import Trust
from syft_ext.errors import GridError, InvalidConfig
from syft_ext.identity import Identity

__all__ = ["PARTICIPANT", "PINS", "own_pins", "place_of"]

PINS = "pins.json"
"""In the Worker's home: what ``grid worker trust set`` keeps."""

PARTICIPANT = "participant"
"""The folder of the process that trains, in the Worker's home: what was given so far is counted there."""


def place_of(setting: str, home: Path) -> Path | None:
    """The file of the pins: the one that the settings name, else the home's, where there is one.

    Raises :class:`InvalidConfig` for one that is named and is not there.
    """
    if not setting:
        return home / PINS if (home / PINS).exists() else None
    path = Path(setting).expanduser()
    if not path.is_file():
        raise InvalidConfig(f"pins: there is no file {path}", key="pins")
    return path


def own_pins(path: Path, identity: Identity) -> Trust:
    """The pins in a file, whose certificate is for this Worker's key, by one of the authorities that it pins.

    Raises :class:`InvalidConfig`.
    """
    trust = read_pins(path)
    try:
        signed = trust.own_certificate
        certificate = signed.open(ParticipantCertificate, *trust.authority_keys)
    except GridError as error:
        raise InvalidConfig(f"pins: the certificate: {error.detail}", key="pins") from error
    if certificate.participant != key_of(identity):
        raise InvalidConfig(
            "pins: the certificate is for another key than this Worker's (`grid worker trust key`)",
            key="pins",
        )
    return trust
