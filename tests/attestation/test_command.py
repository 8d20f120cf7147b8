"""``grid attest verify``: by the bytes of the evidence, and a last line for programs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import main
from tests.attestation.recorded import EVIDENCE, expected

QUOTE, COLLATERAL = "tdx/gotdx-quote-v5.bin", "tdx/gotdx-quote-v5.collateral.json"
REPORT = "snp/gosevguest-milan-report.bin"
CHAIN = ("snp/gosevguest-milan-vcek.der", "snp/gosevguest-ask_ark_milan.pem")


def attest(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    """The exit code and the lines of the command."""
    with pytest.raises(SystemExit) as left:
        main(["attest", "verify", *map(str, arguments)])
    code = left.value.code
    return (code if isinstance(code, int) else 1), capsys.readouterr().out.splitlines()


def test_evidence_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    said = expected(QUOTE)
    arguments = [EVIDENCE / QUOTE, "--with", EVIDENCE / COLLATERAL, "--at", "2026-03-31T12:00:00Z"]
    code, lines = attest(capsys, *arguments)
    assert code == 0 and lines[-1] == "result:      accepted"
    assert f"workload:    tdx-mrtd:{said['mrtd']}" in lines
    code, lines = attest(capsys, *arguments, "--json")
    result = json.loads(lines[-1])
    claims: dict[str, Any] = result.pop("claims")
    assert result == {"kind": "tdx", "signature": True, "debug": False, "accepted": True, "reasons": []}
    assert code == 0 and claims["mrtd"] == said["mrtd"] and claims["tcb_status"] == "UpToDate"


def test_evidence_that_holds_and_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    expected(REPORT)
    chain = [argument for name in CHAIN for argument in ("--with", EVIDENCE / name)]
    code, lines = attest(capsys, EVIDENCE / REPORT, *chain, "--at", "2023-01-01", "--json")
    result = json.loads(lines[-1])
    assert (code, result["signature"], result["debug"], result["accepted"]) == (1, True, True, False)
    assert result["reasons"] == ["debug"] and result["claims"]["product"] == "Milan"
    code, lines = attest(capsys, EVIDENCE / QUOTE, "--at", "2026-03-31T12:00:00", "--json")
    result = json.loads(lines[-1])
    assert (code, result["signature"], result["reasons"]) == (1, True, ["collateral-missing"])
    code, lines = attest(capsys, EVIDENCE / REPORT, *chain, "--at", "2021-01-01", "--json")
    assert json.loads(lines[-1])["reasons"] == ["not-yet-valid", "debug"]


def test_the_name_of_a_file_says_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    expected(QUOTE)
    content = (EVIDENCE / QUOTE).read_bytes()
    for form in (content, content.hex().encode() + b"\n", base64.encodebytes(content)):
        named = tmp_path / "snp-report.jwt"
        named.write_bytes(form)
        code, lines = attest(
            capsys, named, "--with", EVIDENCE / COLLATERAL, "--at", "2026-03-31T12:00:00+00:00", "--json"
        )
        assert (code, json.loads(lines[-1])["kind"]) == (0, "tdx")


def test_a_policy_of_reference_values(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = expected(QUOTE)
    workload = {
        "mrtd": said["mrtd"],
        "rtmr0": "",
        "rtmr1": said["rtmr1"],
        "rtmr2": said["rtmr2"],
        "rtmr3": "",
    }
    policy = {"production": True, "tdx": {"workloads": [workload]}}
    where = tmp_path / "policy.json"
    arguments = [EVIDENCE / QUOTE, "--with", EVIDENCE / COLLATERAL, "--at", "2026-03-31T12:00:00Z"]
    where.write_text(json.dumps(policy))
    assert attest(capsys, *arguments, "--policy", where)[0] == 0
    workload["rtmr2"] = said["rtmr1"]
    where.write_text(json.dumps(policy))
    code, lines = attest(capsys, *arguments, "--policy", where, "--json")
    assert (code, json.loads(lines[-1])["reasons"]) == (1, ["policy-workload"])
    where.write_text(json.dumps({**policy, "allow_simulator": True}))
    with pytest.raises(SystemExit) as left:
        main(["attest", "verify", *map(str, arguments), "--policy", str(where)])
    assert left.value.code == 1 and "simulator" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"nothing", b"{}", b"\0" * 1184, b"ff", b"x" * (1 << 20) + b"xx"])
def test_what_is_no_evidence(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    code, lines = attest(capsys, file, "--json")
    result = json.loads(lines[-1])
    assert code == 1 and result["kind"] is None and result["debug"] is None and result["claims"] == {}
    assert not result["signature"] and not result["accepted"] and len(result["reasons"]) == 1


def test_a_time_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    assert attest(capsys, file, "--at", "yesterday")[0] == 2
