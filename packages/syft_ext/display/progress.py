"""Progress where somebody looks: rich in a terminal, tqdm in a notebook, silence everywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from syft_ext.readable import readable

__all__ = ["stage", "surface", "track"]

Advance = Callable[[int], object]
_stage = threading.Lock()


def surface() -> Literal["notebook", "terminal", "silent"]:
    """Where the user sees output of this process."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # By name: ipykernel need not be installed where this runs.
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        return "notebook"
    try:
        return "terminal" if sys.stdout.isatty() else "silent"
    except ValueError:  # closed
        return "silent"


@contextmanager
def stage() -> Iterator[bool]:
    """Whether this thread may draw on the terminal: one live display at a time, the others are silent."""
    drawing = _stage.acquire(blocking=False)
    try:
        yield drawing
    finally:
        if drawing:
            _stage.release()


@contextmanager
def track(label: str, total: int | None, *, unit: Literal["B", ""] = "") -> Iterator[Advance]:
    """Show how far something is; yields ``advance(n)``.

    Args:
        total: how much there is to do, in ``unit``; None: not known.
        unit: "B" for bytes, "" for a count.
    """
    label, where = readable(label), surface()
    if where == "notebook":
        with _notebook(label, total, unit) as advance:
            yield advance
        return
    with stage() as drawing:
        if where == "terminal" and drawing:
            with _terminal(label, total, unit) as advance:
                yield advance
        else:
            yield lambda n: None


@contextmanager
def _terminal(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if unit == "B" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(escape(label), total=total)
        yield lambda n: progress.advance(task, n)


@contextmanager
def _notebook(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns when it must do with text for want of ipywidgets
        from tqdm.auto import tqdm

    with tqdm(desc=label, total=total, unit=unit or "it", unit_scale=unit == "B", leave=False) as bar:
        yield bar.update
