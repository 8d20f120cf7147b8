"""A user writes what acts on the terminal, the notebook and the log of whoever reads it.

(An escape sequence in the reason of a request once erased lines and wrote "APPROVED BY LEGAL" to the reviewer.)
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import syft_ext as sy
from apps.cli import main as command_line
from grid.config import logs
from tests.readable.hostile import offences
from tests.user_folder import fresh_user

from .site import OWNER, PASSWORD, Site

REASONS = {
    "escape": "harmless\x1b[2K\x1b[1A\x1b]0;pwned\x07\x1b[31mAPPROVED BY LEGAL\x1b[0m\nline2\u202eevil",
    "c1": "harmless\x9b2K\x9b31mAPPROVED\x9b0m\x85next",
    "direction": "\u2067denied\u2069 \u202edevorppa\u202c",
    "hidden": "ap\u200bpro\u00adved\ufeff\u2060 \U000e0001\U000e0041",
    "lines": "harmless\u2028state      approved\u2029\r\nstate      approved",
}


@pytest.fixture(scope="module")
def asked(site: Site) -> dict[str, str]:
    """Eve asks for what they may find, once in each scope and with each reason that there is room for."""
    found = {}
    for name, reason in REASONS.items():
        thing = site.put(site.ann, reason.encode(), searchable="true")
        body = {"object_id": thing, "reason": reason, "scope": "compute"}
        answer = site.rest("POST", "/requests", body, site.eve)
        assert answer.status == 201, answer.body
        found[name] = answer.json["id"]
    return found


def test_the_reviewer_reads_what_was_sent(
    site: Site, asked: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fresh_user(tmp_path / "user"):
        owner = sy.login(site.domain.url, OWNER, PASSWORD, save=True)
        shown = [repr(owner.requests), owner.requests._repr_html_()]
        for request_id in asked.values():
            request = owner.requests.get(request_id)
            shown += [repr(request), request._repr_html_()]
        for command in (
            ["requests", "list"],
            *(["requests", "show", each] for each in asked.values()),
            ["audit", "show"],
            ["search", "x"],
        ):
            command_line._run(command_line.cli, [*command, "--url", site.domain.url])
            captured = capsys.readouterr()
            shown.append(captured.out + captured.err)
        for text in shown:
            assert offences(text, lines=True) == []
            assert "\nstate      approved" not in text
        everything = "\n".join(shown)
        for escaped in ("\\x1b[31mAPPROVED BY LEGAL", "⟨U+202E⟩", "⟨U+200B⟩", "⟨U+2067⟩", "\\x9b2K"):
            assert escaped in everything
        command_line._run(
            command_line.cli, ["requests", "list", "--format", "json", "--url", site.domain.url]
        )
        text = capsys.readouterr().out
        assert offences(text, lines=True) == []
        assert set(REASONS.values()) <= {each["reason"] for each in json.loads(text)}, (
            "programs have it exactly"
        )


def test_names_that_are_logged_act_on_no_terminal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    output = logs._Output(logs._Pretty())
    output.setStream(stream)
    import logging

    logger = logging.getLogger("grid.attacked")
    logger.addHandler(output)
    try:
        for reason in REASONS.values():
            logger.warning("%s asks to associate: %s", reason, "pending")
    finally:
        logger.removeHandler(output)
    assert offences(stream.getvalue(), lines=True) == []
    assert len(stream.getvalue().splitlines()) == len(REASONS)


def test_errors_that_repeat_what_was_sent(site: Site) -> None:
    """What is wrong is named by what was sent: in an exception that a script prints, too."""
    for reason in REASONS.values():
        with fresh_user(site.root / "someone"):
            user = sy.login(site.domain.url, "eve@x.org", PASSWORD)
            with pytest.raises(sy.errors.GridError) as caught:
                user.trainings.find(reason)
            assert offences(str(caught.value), lines=False) == []
