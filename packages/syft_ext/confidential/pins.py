"""A participant's pins and limits as people write them, in a file of their own: what a Worker's owner gives it.

    hosts = ["5f0c…", "91ab…", "c2d4…"]        # verify keys of key hosts
    authorities = ["77aa…"]                    # who vouches for participants
    certificate = "participant.certificate"    # the authority's word for this participant's own key
    evidence = ["terms.json"]                  # what is accepted as proof of which program runs; or tables
    rho = 0.5
    rounds = 40

Further fields are those of :class:`~syft_ext.confidential.trust.Trust` (``session_age = 0``: None). Paths are
meant from the file's folder.
"""

from __future__ import annotations

import base64
import binascii
import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from syft_ext.attestation.policy import AttestationPolicy, policy_from_json, policy_to_json
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.trust import Trust
from syft_ext.errors import GridError, InvalidConfig

__all__ = ["pins_from_document", "pins_to_document", "read_pins"]

_NAMES = frozenset(each.name for each in fields(Trust) if each.init)
_NEEDED = ("hosts", "authorities", "evidence", "certificate", "rho", "rounds")


def read_pins(path: Path) -> Trust:
    """The pins in a file: TOML, or JSON where it is called so.

    Raises :class:`~syft_ext.errors.InvalidConfig` for one that cannot be read, or pins nothing.
    """
    try:
        text = path.read_text("utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidConfig(f"pins: {path}: {error}", field="pins") from error
    if not isinstance(values, dict):
        raise InvalidConfig(f"pins: {path}: pins are a table of fields", field="pins")
    return pins_from_document(values, path.parent)


def pins_from_document(values: Mapping[str, Any], folder: Path) -> Trust:
    """The pins that a document means. ``folder``: where the files are that it names.

    Raises :class:`~syft_ext.errors.InvalidConfig`, naming what is wrong.
    """
    unknown = sorted(values.keys() - _NAMES)
    if unknown:
        raise InvalidConfig(f"pins: there is no {', '.join(unknown)}", field=unknown[0])
    for name in _NEEDED:
        if name not in values:
            raise InvalidConfig(f"pins: {name} is missing", field=name)
    given = dict(values)
    try:
        evidence = given["evidence"]
        given["evidence"] = [
            _evidence(each, folder) for each in (evidence if isinstance(evidence, list) else [evidence])
        ]
        given["certificate"] = _certificate(given["certificate"], folder)
        given["rho"] = Fraction(str(given["rho"]))
        for name in ("hosts", "authorities", "owners", "suites"):
            if name in given and not (
                isinstance(given[name], list) and all(isinstance(each, str) for each in given[name])
            ):
                raise InvalidConfig(f"pins: {name} is a list of texts", field=name)
        for name in ("production", "secure_aggregation"):
            if name in given and not isinstance(given[name], bool):
                raise InvalidConfig(f"pins: {name} is true or false", field=name)
        for name in ("rounds", "least_cohort", "least_hosts", "session_age", "least_witnesses", "clock_skew"):
            if name in given and type(given[name]) is not int:
                raise InvalidConfig(f"pins: {name} is a whole number", field=name)
        if given.get("session_age") == 0:
            given["session_age"] = None  # whether hosts appraised a worker before is not asked for
        return Trust(**given)
    except InvalidConfig:
        raise
    except (TypeError, ValueError, GridError, OSError, ZeroDivisionError) as error:
        raise InvalidConfig(f"pins: {getattr(error, 'detail', '') or error}", field="pins") from error


def _evidence(said: Any, folder: Path) -> AttestationPolicy:
    if isinstance(said, Mapping):
        return policy_from_json(json.dumps(said).encode())
    path = folder / str(said)
    data = path.read_bytes()
    if path.suffix == ".toml":
        values = tomllib.loads(data.decode())
        return policy_from_json(json.dumps(values.get("attestation", values)).encode())
    return policy_from_json(data)


def _certificate(said: Any, folder: Path) -> bytes:
    if isinstance(said, Mapping):
        try:
            return base64.b64decode(str(said.get("encoded", "")), validate=True)
        except binascii.Error as error:
            raise InvalidConfig("pins: the certificate is no base64", field="certificate") from error
    return (folder / str(said)).read_bytes()


def pins_to_document(trust: Trust) -> dict[str, Any]:
    """What :func:`pins_from_document` reads, with every field and nothing that stands elsewhere."""
    assert isinstance(trust.certificate, Signed)
    return {
        "hosts": [*trust.hosts],
        "authorities": [*trust.authorities],
        "owners": [*trust.owners],
        "evidence": [policy_to_json(terms) for terms in trust.terms],
        "certificate": {"encoded": base64.b64encode(trust.certificate.encode()).decode()},
        "rho": str(Fraction(str(trust.rho))),
        "rounds": trust.rounds,
        "production": trust.production,
        "suites": [*trust.suites],
        "least_cohort": trust.least_cohort,
        "least_hosts": trust.least_hosts,
        "session_age": trust.session_age or 0,
        "secure_aggregation": trust.secure_aggregation,
        "least_witnesses": trust.least_witnesses,
        "clock_skew": trust.clock_skew,
    }
