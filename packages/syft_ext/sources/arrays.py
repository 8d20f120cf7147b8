"""NumPy's files and safetensors, read where they lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from syft_ext.errors import BadRequest, InvalidTensors
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.files import OpenFile
from syft_ext.sources.parts import (
    NUMPY,
    Part,
    array_part,
    code_of_dtype,
    metadata_of,
    raw_part,
)
from syft_ext.tensors import header_size, read_layout

__all__ = ["read_npy", "read_npz", "read_safetensors"]

_HEADERS: dict[Any, Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path, metadata: ColumnMetadata) -> PartsContent:
    """One array: a tensor without a name. What its owner says of it stands under the file's name or "data"."""
    about = metadata_of(metadata, path.stem) or metadata_of(metadata, "data")
    return PartsContent("tensor", [_npy_part("", OpenFile.reading(path), about, path.name)])


def _npy_part(name: str, file: OpenFile, metadata: Any, where: str) -> Part:
    """A part of a .npy file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    try:
        with file.stream() as stream:
            shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
            offset = stream.tell()
    except (ValueError, KeyError, EOFError) as error:
        raise BadRequest(f"{where} is no plain array: {error}") from error
    if dtype.hasobject:
        raise BadRequest(f"{where}: pickled arrays are refused")
    simple = dtype.kind in "biuf" and (not fortran or len(shape) < 2)
    if simple:
        return raw_part(name, file, offset, dtype, shape, metadata, code_of_dtype(dtype, where))
    order: Any = "F" if fortran else "C"
    with file.stream() as stream:
        mapped = np.memmap(stream, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    return array_part(name, mapped, metadata, where)


def read_npz(
    path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None, spool: Path
) -> PartsContent:
    """Several arrays by name, each taken out of the archive into an unnamed file first."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = _chosen(path, archive.files, columns)
            parts = [
                _npy_part(
                    name,
                    _member(archive.zip, name, spool),
                    metadata_of(metadata, name),
                    f"{path.name}, {name}",
                )
                for name in names
            ]
    except (ValueError, OSError, KeyError, AttributeError) as error:
        raise BadRequest(f"{path.name} is no archive of plain arrays: {error}") from error
    return PartsContent("tensors", parts, path.name)


def _member(archive: Any, name: str, spool: Path) -> OpenFile:
    file = OpenFile.unnamed(spool)
    member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(member) as packed, file.stream() as stream:
        shutil.copyfileobj(packed, stream, 1 << 20)
    return file


def read_safetensors(path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None) -> PartsContent:
    """Its tensors, or those that ``columns`` names, where they lie in the file: nothing is copied.

    Raises :class:`BadRequest` for a file that contradicts its header.
    """
    file = OpenFile.reading(path)
    try:
        layout = read_layout(os.pread(file.fd, header_size(os.pread(file.fd, 8, 0)), 0))
    except InvalidTensors as error:
        raise BadRequest(f"{path.name}: {error.detail}") from error
    if layout.total_size != path.stat().st_size:
        raise BadRequest(f"{path.name} is not as long as its header says")
    specs = {spec.name: spec for spec in layout.specs}
    names = _chosen(path, list(specs), columns)
    parts = [
        raw_part(
            name,
            file,
            layout.data_offset + spec.start,
            np.dtype(NUMPY[spec.dtype]),
            spec.shape,
            metadata_of(metadata, name),
            spec.dtype,
        )
        for name, spec in ((name, specs[name]) for name in names)
    ]
    return PartsContent("tensor" if names == [""] else "tensors", parts, path.stem)


def _chosen(path: Path, names: Sequence[str], columns: Sequence[str] | None) -> Sequence[str]:
    """``columns``, if all of them are there; all names, if it is None."""
    for name in columns or ():
        if name not in names:
            known = ", ".join(_few(names))
            raise BadRequest(f"{path.name} has no array {name!r}; there are: {known}")
    return names if columns is None else columns


def _few(names: Sequence[str]) -> Iterator[str]:
    yield from names[:20]
