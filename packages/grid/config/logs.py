"""Log lines on standard error, for people or as JSON lines. They carry no tensors, tokens or passwords."""

from __future__ import annotations

import json
import logging
import sys
import time
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

from syft_ext.readable import is_readable, readable

__all__ = ["log_info", "set_up_logging"]

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def _encode(entry: dict[str, Any]) -> str:
    """JSON with letters as they are; what is not seen, or acts, by its escape: the same to whoever decodes it."""
    text = _to_json(entry)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if is_readable(char) else json.dumps(char)[1:-1] for char in text).replace(
        "\x7f", "\\u007f"
    )


class _Form(logging.Formatter, ABC):
    """A formatter that can do without a record."""

    def format(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        return self.line(record.created, record.levelname, record.name, record.getMessage(), exception)

    @abstractmethod
    def line(self, created: float, level: str, name: str, message: str, exception: str = "") -> str:
        """The line of a record that says this."""


class _Pretty(_Form):
    def line(self, created: float, level: str, name: str, message: str, exception: str = "") -> str:
        # A name that a stranger chose must not look like another log line, nor act on who reads it.
        text = f"{_clock(int(created))} {level.lower():<7} {name:<28} {readable(message)}"
        return f"{text}\n{readable(exception, lines=True)}" if exception else text


class _JSON(_Form):
    def line(self, created: float, level: str, name: str, message: str, exception: str = "") -> str:
        entry = {"time": round(created, 6), "level": level.lower(), "logger": name, "message": message}
        if exception:
            entry["exception"] = exception
        return _encode(entry)


class _Output(logging.StreamHandler):  # type: ignore[type-arg]  # mypy: of text; at run time: of nothing
    """Writes records, as any handler does, and lines that never were records."""

    def __init__(self, form: _Form) -> None:
        super().__init__(sys.stderr)
        self._form = form
        self.setFormatter(form)

    def is_all_that_hears(self, logger: logging.Logger) -> bool:
        """Whether a record of ``logger``'s would only be written here, as it is."""
        if logger.filters or self.filters or self.level > logging.INFO or self.formatter is not self._form:
            return False
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return False
        while not logger.handlers and logger.propagate and logger.parent is not None:
            logger = logger.parent
        return logger.handlers == [self] and not (logger.propagate and logger.parent)

    def write_info(self, name: str, message: str) -> None:
        self.acquire()
        try:
            self.stream.write(self._form.line(time.time(), "INFO", name, message) + self.terminator)
            self.stream.flush()
        except Exception:
            self.handleError(logging.LogRecord(name, logging.INFO, "", 0, message, None, None))
        finally:
            self.release()


_output: _Output | None = None


def log_info(logger: logging.Logger, message: str) -> None:
    """``logger.info(message)``, without a record where nobody would see one: for what is logged very often."""
    if not logger.isEnabledFor(logging.INFO):
        return
    if _output is not None and _output.is_all_that_hears(logger):
        _output.write_info(logger.name, message)
    else:
        logger.info(message)


@lru_cache(maxsize=2)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def set_up_logging(form: str, level: str) -> None:
    """Log to standard error. ``form`` is "pretty" or "json"; ``level`` the least severe level."""
    global _output
    # No line says which function, thread or process it is from: finding out costs more than the rest of it
    # (the logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    _output = _Output(_JSON() if form == "json" else _Pretty())
    logging.basicConfig(level=level.upper(), handlers=[_output], force=True)
    for noisy in ("alembic", "urllib3", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
