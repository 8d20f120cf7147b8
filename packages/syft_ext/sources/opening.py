"""Which reader a file or folder is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.vocabulary import ColumnMetadata, TableOptions
from syft_ext.sources.arrays import npz_names, read_npy, read_npz, read_safetensors, safetensors_names
from syft_ext.sources.content import PartsContent
from syft_ext.sources.csv_table import csv_names, read_csv
from syft_ext.sources.images import read_images
from syft_ext.sources.parquet import parquet_names, read_parquet

__all__ = ["FORMATS", "column_names", "format_of", "open_source"]

#: What a file name ends in → the format.
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".npy": "npy",
    ".npz": "npz",
    ".safetensors": "safetensors",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_USUAL = TableOptions()


def open_source(
    path: Path,
    metadata: ColumnMetadata,
    *,
    spool: Path | None,
    columns: Sequence[str] | None = None,
    kind: str = "",
    options: TableOptions = _USUAL,
) -> PartsContent:
    """The content of a file, or of a folder of images, as a tensor file.

    Args:
        metadata: what the owner says of columns: name → unit, description, low and high, categories; and how they
            are read: dtype, format and timezone.
        spool: a folder on disk, for what must be written again; None: memory.
        columns: only these columns or arrays.
        kind: one of :data:`FORMATS`' formats or "images"; by default what the name says.
        options: how text is written.

    Raises :class:`NotFound` when nothing is there, :class:`BadRequest` naming the places of all that is wrong, and
    :class:`Unsupported` naming the extra that is missing.
    """
    kind = kind or format_of(path)
    if kind != "csv" and not options.usual:
        raise BadRequest(f"{path.name} is no text: encoding, decimal and their like say nothing of it")
    match kind:
        case "csv":
            return read_csv(path, metadata, columns=columns, spool=spool, options=options)
        case "parquet":
            return read_parquet(path, metadata, columns=columns, spool=spool)
        case "npz":
            return read_npz(path, metadata, columns=columns, spool=spool)
        case "safetensors":
            return read_safetensors(path, metadata, columns=columns)
    if columns is not None:
        raise BadRequest(f"{path.name} has no columns to choose from")
    return read_npy(path, metadata) if kind == "npy" else read_images(path, metadata)


def format_of(path: Path) -> str:
    """One of :data:`FORMATS`' formats, or "images" for a folder. Raises as :func:`open_source`."""
    if not path.exists():
        raise NotFound(f"there is nothing at {path}")
    kind = "images" if path.is_dir() else FORMATS.get(path.suffix.lower(), "")
    if not kind:
        known = ", ".join(FORMATS)
        raise BadRequest(f"{path.name}: a file of a known kind is needed ({known}), or a folder of images")
    return kind


def column_names(path: Path, options: TableOptions = _USUAL) -> list[str]:
    """The names of the columns or arrays of a file, without reading their rows; of what has none, nothing.

    Some may be empty or there twice: what is asked of them is refused when they are read.
    """
    match format_of(path):
        case "csv":
            names = csv_names(path, options)
        case "parquet":
            names = parquet_names(path)
        case "npz":
            names = npz_names(path)
        case "safetensors":
            names = safetensors_names(path)
        case _:
            names = []
    return [name.strip() for name in names]
