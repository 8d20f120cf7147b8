"""Which reader a file or folder is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.arrays import read_npy, read_npz, read_safetensors
from syft_ext.sources.content import PartsContent
from syft_ext.sources.csv_table import read_csv
from syft_ext.sources.images import read_images
from syft_ext.sources.parquet import read_parquet

__all__ = ["FORMATS", "open_source"]

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


def open_source(
    path: Path, metadata: ColumnMetadata, *, spool: Path, columns: Sequence[str] | None = None, kind: str = ""
) -> PartsContent:
    """The content of a file, or of a folder of images, as a tensor file.

    Args:
        metadata: what the owner says of columns: name → unit, description, low and high, categories.
        spool: a folder on disk, for what must be written again.
        columns: only these columns or arrays.
        kind: one of :data:`FORMATS`' formats or "images"; by default what the name says.

    Raises :class:`NotFound` when nothing is there, :class:`BadRequest` naming the place of what is wrong, and
    :class:`Unsupported` naming the extra that is missing.
    """
    if not path.exists():
        raise NotFound(f"there is nothing at {path}")
    kind = kind or ("images" if path.is_dir() else FORMATS.get(path.suffix.lower(), ""))
    match kind:
        case "csv":
            return read_csv(path, metadata, columns=columns, spool=spool)
        case "parquet":
            return read_parquet(path, metadata, columns=columns, spool=spool)
        case "npz":
            return read_npz(path, metadata, columns=columns, spool=spool)
        case "safetensors":
            return read_safetensors(path, metadata, columns=columns)
        case "npy" | "images" if columns is not None:
            raise BadRequest(f"{path.name} has no columns to choose from")
        case "npy":
            return read_npy(path, metadata)
        case "images":
            return read_images(path, metadata)
    known = ", ".join(FORMATS)
    raise BadRequest(f"{path.name}: a file of a known kind is needed ({known}), or a folder of images")
