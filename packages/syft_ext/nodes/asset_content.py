"""What an owner may register as the data of an asset, or as its mock, opened to be sent.

Apart from :mod:`syft_ext.nodes.datasets` because it needs numpy: who only looks at datasets does not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata, TableOptions
from syft_ext.profile.home import user_home
from syft_ext.sources.content import PartsContent
from syft_ext.sources.frames import content_of
from syft_ext.sources.opening import FORMATS, open_source

__all__ = ["open_asset", "open_content", "text_of"]

_USUAL = TableOptions()


def open_asset(
    dataset: str,
    part: str,
    value: Any,
    mock: Any,
    said: ColumnMetadata,
    columns: Sequence[str] | None,
    options: TableOptions = _USUAL,
) -> tuple[PartsContent, PartsContent | None]:
    """An asset's data and mock; nothing is uploaded yet."""
    label = f"{dataset}/{part}"
    stand_in = (
        None
        if mock is None
        else open_content(mock, said, f"mock of {label}", columns, text_of(mock, options))
    )
    if value is None and stand_in is not None:
        content = stand_in.without_rows()
    else:
        content = open_content(value, said, label, columns, options)
    if stand_in is not None and _form(content) != _form(stand_in):
        raise BadRequest(f"the mock of {label} has other columns, types or shapes than the data")
    return content, stand_in


def text_of(value: Any, options: TableOptions) -> TableOptions:
    """The options for a mock, which may be another kind of thing than the data."""
    return options if isinstance(value, Path) and FORMATS.get(value.suffix.lower()) == "csv" else _USUAL


def open_content(
    value: Any,
    said: ColumnMetadata,
    label: str,
    columns: Sequence[str] | None,
    options: TableOptions = _USUAL,
) -> PartsContent:
    """What :meth:`Datasets.create` takes as the data of one asset, ready to be read.

    What must be written again before it can be sent, goes through the user's own folder on disk.
    """
    if isinstance(value, str):
        raise BadRequest(f"{label}: give a file as a pathlib.Path: Path({value!r})")
    if isinstance(value, Path):
        spool = user_home() / "spool"
        spool.mkdir(mode=0o700, exist_ok=True)
        return open_source(value, said, spool=spool, columns=columns, options=options)
    if not options.usual:
        raise BadRequest(f"{label} is no text: encoding, decimal and their like say nothing of it")
    return content_of(value, said, label, columns)


def _form(content: PartsContent) -> list[tuple[Any, ...]]:
    return [(part.name, part.dtype, len(part.shape), part.shape[1:]) for part in content.parts]
