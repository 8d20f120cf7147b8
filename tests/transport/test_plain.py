"""Plain http to another machine is said, once for each address."""

from __future__ import annotations

import logging

import pytest

from syft_ext.transport import open_transport, plain


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_said", set())
    monkeypatch.delenv(plain.VARIABLE, raising=False)


@pytest.mark.parametrize(
    "address", ["http://north.example:5000", "ws://192.0.2.7:5000", "10.0.0.7:5000", "http://127.0.0.1.evil"]
)
def test_it_is_said_once(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            open_transport(address).close()
    (said,) = caplog.messages
    assert "without TLS" in said and "GRID_PLAIN_HTTP=accept" in said


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:5000",
        "ws://127.0.0.1:1",
        "http://127.9.9.9:1",
        "http://[::1]:5000",
        "https://north.example",
        "wss://a.b",
    ],
)
def test_nothing_is_said_of_this_machine_and_of_tls(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_transport(address).close()
    assert caplog.messages == []


def test_it_can_be_accepted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plain.VARIABLE, plain.ACCEPT)
    with caplog.at_level(logging.WARNING):
        open_transport("http://north.example:5000").close()
    assert caplog.messages == []


def test_a_name_with_control_characters_is_shown_harmless(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        plain.warn_if_plain("http://evil\u202e\x1b31m.example")
    (said,) = caplog.messages
    assert said.isprintable() and said.isascii()
