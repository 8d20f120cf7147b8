"""What is logged often takes a shorter way, and nobody can tell."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from grid.config import logs

logger = logging.getLogger("grid.test.logs")
TEXT = 'path=/é%s "quoted"\nforged'


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error of a process of our own, as far as logging goes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    monkeypatch.setattr(logs, "_output", None)
    stream = io.StringIO()
    monkeypatch.setattr(logs, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.25)
    root.handlers = []
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def written(output: io.StringIO) -> str:
    text = output.getvalue()
    output.seek(0)
    output.truncate()
    return text


@pytest.fixture
def no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*args: object) -> None:
        raise AssertionError("a record was made")

    monkeypatch.setattr(logger, "makeRecord", make)


@pytest.mark.parametrize("form", ["pretty", "json"])
def test_the_same_line(output: io.StringIO, form: str, request: pytest.FixtureRequest) -> None:
    logs.set_up_logging(form, "info")
    logger.info(TEXT)
    line = written(output)
    assert line.count("\n") == 1
    if form == "json":
        wanted = {"time": 1_800_000_000.25, "level": "info", "logger": logger.name, "message": TEXT}
        assert json.loads(line) == wanted
    request.getfixturevalue("no_records")
    logs.log_info(logger, TEXT)
    assert written(output) == line


def test_levels(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up_logging("pretty", "warning")
    logs.log_info(logger, TEXT)
    logs.set_up_logging("pretty", "info")
    monkeypatch.setattr(logger, "disabled", True)
    logs.log_info(logger, TEXT)
    assert written(output) == ""


@pytest.mark.parametrize("name", ["grid.test.logs", "grid.test", ""])
def test_whoever_listens_gets_records(output: io.StringIO, name: str) -> None:
    logs.set_up_logging("pretty", "info")
    records: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = records.append  # type: ignore[method-assign]
    logging.getLogger(name).addHandler(listener)
    try:
        logs.log_info(logger, TEXT)
    finally:
        logging.getLogger(name).removeHandler(listener)
    assert [record.getMessage() for record in records] == [TEXT]
    assert written(output).count("\n") == 1


def test_whoever_filters_or_reforms_is_asked(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up_logging("pretty", "info")
    (handler,) = logging.getLogger().handlers
    for target in (logger, handler):
        monkeypatch.setattr(target, "filters", [lambda record: False])
        logs.log_info(logger, TEXT)
        monkeypatch.setattr(target, "filters", [])
    assert written(output) == ""
    handler.setFormatter(logging.Formatter("mine: %(name)s"))
    logs.log_info(logger, TEXT)
    assert written(output) == f"mine: {logger.name}\n"


def test_a_broken_output_breaks_nothing(
    output: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up_logging("pretty", "info")
    (handler,) = logging.getLogger().handlers
    monkeypatch.setattr(handler, "stream", None)
    logs.log_info(logger, TEXT)
    assert "Logging error" in capsys.readouterr().err
