"""``grid authority`` and ``grid policy`` on files: what is signed is what was written, to the last digit."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from apps.cli.main import cli
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.documents import policy_from_document, policy_to_document
from syft_ext.errors import InvalidStatement
from syft_ext.identity import Identity

KEYS = [Identity.generate().verify_key for _ in range(3)]
DOCUMENT = f"""
scope = "hospitals"
rounds = 20
not_after = 2030-06-30T00:00:00Z
plans = ["{"ab" * 32}"]
hosts = [
  {{name = "north", key = "{KEYS[0]}", url = "https://keys.north.example"}},
  {{name = "south", key = "{KEYS[1]}", url = "https://keys.south.example"}},
]
cohort = {{least = 3, most = 64, authorities = ["{KEYS[2]}"], participations = 20}}
mechanism = {{clip_norm = 0.1, grid_bits = 16, noise_multiplier = 0.8, denominator = 8}}
budget = {{rho = 16.0, delta = 1e-6}}
windows = {{upload = 86400, erase = 172800}}

[attestation]
production = false
allow_simulator = true
simulator = {{keys = ["{KEYS[2]}"], workloads = ["{"cd" * 32}"]}}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(DOCUMENT)
    return path


def test_a_certificate_says_whose_key_it_is(tmp_path: Path) -> None:
    key, out = tmp_path / "authority.key", tmp_path / "certificate"
    made = json.loads(run("authority", "create", str(key), "--format", "json").stdout)
    assert key.stat().st_mode & 0o777 == 0o600
    participant = Identity.generate()
    done = run(
        *("authority", "certify", "--key", str(key), "--subject", "North Clinic", "--days", "2"),
        *("--participant", participant.verify_key, "--out", str(out)),
    )
    assert done.exit_code == 0, done.output
    signed: Signed[ParticipantCertificate] = Signed.decode(out.read_bytes())
    certificate = signed.open(ParticipantCertificate, bytes.fromhex(made["key"]))
    assert (certificate.subject, certificate.participant) == ("North Clinic", key_of(participant))


def test_a_policy_is_shown_with_what_a_reader_must_not_miss(file: Path) -> None:
    shown = run("policy", "show", str(file), "--format", "json")
    found = json.loads(shown.stdout)
    assert found["mechanism"]["noise_multiplier"] == "0.8"
    assert "INSECURE" in shown.stderr
    assert found["signed"] is False


def test_a_difference_is_a_line(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(DOCUMENT.replace("noise_multiplier = 0.8", "noise_multiplier = 0.7"))
    lines = run("policy", "diff", str(file), str(other)).stdout.splitlines()
    assert any("mechanism.noise_multiplier: '0.8' → '0.7'" in line for line in lines)
    assert run("policy", "diff", str(file), str(file)).stdout == "nothing: they are the same\n"


@given(
    clip=st.integers(1, 1 << 24),
    bits=st.integers(0, 64),
    noise=st.integers(1, 10**12),
    rounds=st.integers(1, 1000),
)
@settings(max_examples=50, deadline=None)
def test_what_is_shown_is_what_was_signed(clip: int, bits: int, noise: int, rounds: int) -> None:
    """A document of a policy is read as that very policy, whatever its numbers."""
    values = tomllib.loads(DOCUMENT)
    values["mechanism"] |= {"clip_norm": 1, "grid_bits": 0, "noise_multiplier": 1}
    policy = policy_from_document(values, bytes(32))
    mechanism = replace(policy.mechanism, clip=clip, grid_bits=bits, noise_multiplier=noise)
    budget = replace(policy.budget, rho=mechanism.rho * rounds)
    try:
        policy = replace(policy, mechanism=mechanism, budget=budget)
        type(policy).decode(policy.encode())
    except (InvalidStatement, OverflowError):  # nobody could sign that one
        return
    document = policy_to_document(policy)
    for name in ("owner", "production"):
        document.pop(name)
    assert policy_from_document(document, bytes(32)) == policy


def test_numbers_that_are_not_whole_are_refused_not_rounded(file: Path) -> None:
    values = tomllib.loads(DOCUMENT)
    values["mechanism"]["noise_multiplier"] = 0.8000000001
    with pytest.raises(InvalidStatement, match="noise_multiplier"):
        policy_from_document(values, bytes(32))
    for broken in ({"typo": 1}, {"rounds": 1.5}, {"not_after": "2030-01-01T00:00:00"}, {"hosts": "north"}):
        with pytest.raises(InvalidStatement):
            policy_from_document(tomllib.loads(DOCUMENT) | broken, bytes(32))
