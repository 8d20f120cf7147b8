"""Log lines on standard error, for people or as JSON lines. They carry no tensors, tokens or passwords."""

from __future__ import annotations

import json
import logging
import sys
import time
from functools import lru_cache

__all__ = ["set_up_logging"]


class _Pretty(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = _clock(int(record.created))
        text = f"{moment} {record.levelname.lower():<7} {record.name:<28} {_one_line(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


@lru_cache(maxsize=2)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _one_line(text: str) -> str:
    """A name that a stranger chose must not look like another log line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def set_up_logging(form: str, level: str) -> None:
    """Log to standard error. ``form`` is "pretty" or "json"; ``level`` the least severe level."""
    # No line says which function, thread or process it is from: finding out costs more than the rest of it
    # (the logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSON() if form == "json" else _Pretty())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("alembic", "urllib3", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
