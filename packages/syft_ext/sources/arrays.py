"""NumPy's arrays and files, and safetensors, read where they lie. Their numbers keep the type that they have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from syft_ext.errors import BadRequest, InvalidTensors
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.files import OpenFile
from syft_ext.sources.held import HeldColumn, held_content
from syft_ext.sources.parts import NUMPY, Part, raw_part
from syft_ext.sources.rule.cells import cells_of_array
from syft_ext.sources.rule.columns import code_of_array
from syft_ext.sources.rule.exact import outside_int64
from syft_ext.tensors import Layout, described, header_size, read_layout

__all__ = ["held_array", "npz_names", "read_npy", "read_npz", "read_safetensors", "safetensors_names"]

_HEADERS: dict[Any, Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def held_array(name: str, array: Any, where: str) -> HeldColumn | Part:
    """Whatever has ``dtype``, ``shape`` and slices as a numpy array has (a memory map, too).

    Numbers keep the type that they have, or the narrowest that holds it. Raises :class:`BadRequest` for what are
    no numbers.
    """
    code, numbers = code_of_array(array.dtype), array.dtype.kind in "biuf"
    large = array.dtype.kind == "u" and array.dtype.itemsize == 8  # which int64 may not hold: looked through
    if array.ndim == 1 or (large and array.ndim):
        keeps = code if numbers else ""
        return HeldColumn(
            name, len(array), lambda first, stop: cells_of_array(array[first:stop]), keeps=keeps
        )
    if not code:
        raise BadRequest(
            f"{where}: {array.dtype} with {array.ndim} dimensions is not numbers that can be kept"
        )
    if isinstance(array, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(array)
        if hidden.any():
            row = int(hidden.reshape(hidden.shape[0] if hidden.ndim else 1, -1).any(1).argmax())
            raise BadRequest(
                f"{where}, row {row + 1}: a value is masked; arrays keep no gaps but NaN in floats"
            )
        array = array.data
    flat = array.reshape(1) if array.ndim == 0 else array
    if large and outside_int64(flat) is not None:
        raise BadRequest(f"{where}: int64 does not hold {flat[0]}")
    return Part(name, code, tuple(array.shape), lambda first, stop: flat[first:stop])


def read_npy(path: Path, metadata: ColumnMetadata) -> PartsContent:
    """One array: a tensor without a name. What its owner says of it stands under the file's name or "data"."""
    said = metadata.get(path.stem) or metadata.get("data") or {}
    part = npy_part("", OpenFile.reading(path), path.name)
    return held_content("tensor", path.name, [part], {"data": said})


def npy_part(name: str, file: OpenFile, where: str) -> HeldColumn | Part:
    """A .npy file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    try:
        with file.stream() as stream:
            shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
            offset = stream.tell()
            size = os.fstat(file.fd).st_size - offset
    except (ValueError, KeyError, EOFError) as error:
        raise BadRequest(f"{where} is no plain array: {error}") from error
    if dtype.hasobject:
        raise BadRequest(f"{where}: pickled arrays are refused")
    if size < dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise BadRequest(f"{where}: the file is shorter than its header says")
    code = code_of_array(dtype)
    simple = code and (not fortran or len(shape) < 2) and not (dtype.kind == "u" and dtype.itemsize == 8)
    if simple and len(shape) != 1:
        return raw_part(name, file, offset, dtype, shape, {}, code)
    order: Any = "F" if fortran else "C"
    if not size:
        return held_array(name, np.empty(shape, dtype), where)
    with file.stream() as stream:
        mapped = np.memmap(stream, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    return held_array(name, mapped, where)


def read_npz(
    path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None, spool: Path | None
) -> PartsContent:
    """Several arrays by name, each taken out of the archive into an unnamed file first."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = _chosen(path, archive.files, columns)
            held = [
                npy_part(name, _member(archive.zip, name, spool), f"{path.name}, {name}") for name in names
            ]
    except (ValueError, OSError, KeyError, AttributeError, EOFError) as error:
        raise BadRequest(f"{path.name} is no archive of plain arrays: {error}") from error
    return held_content("tensors", path.name, held, metadata, name=path.name)


def npz_names(path: Path) -> list[str]:
    """The names of its arrays."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return list(archive.files)
    except (ValueError, OSError, KeyError, AttributeError, EOFError) as error:
        raise BadRequest(f"{path.name} is no archive of plain arrays: {error}") from error


def _member(archive: Any, name: str, spool: Path | None) -> OpenFile:
    file = OpenFile.unnamed(spool)
    member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(member) as packed, file.stream() as stream:
        shutil.copyfileobj(packed, stream, 1 << 20)
    return file


def read_safetensors(path: Path, metadata: ColumnMetadata, *, columns: Sequence[str] | None) -> PartsContent:
    """Its tensors, or those that ``columns`` names, where they lie in the file: nothing is copied.

    What the file says of its columns (it may be one that was downloaded) holds where the owner says nothing else.
    Raises :class:`BadRequest` for a file that contradicts its header.
    """
    file = OpenFile.reading(path)
    layout = _layout(path, file)
    if layout.total_size != path.stat().st_size:
        raise BadRequest(f"{path.name} is not as long as its header says")
    specs = {spec.name: spec for spec in layout.specs}
    meanings, notes = described(layout.metadata)
    names = _chosen(path, list(specs), columns)
    parts = [
        raw_part(
            name,
            file,
            layout.data_offset + spec.start,
            np.dtype(NUMPY[spec.dtype]),
            spec.shape,
            meanings.get(name, {}),
            spec.dtype,
            meanings.get(name, {}),
        )
        for name, spec in ((name, specs[name]) for name in names)
    ]
    kind = "tensor" if names == [""] else "tensors"
    return held_content(kind, path.name, parts, metadata, name=path.stem, notes=notes)


def safetensors_names(path: Path) -> list[str]:
    """The names of its tensors."""
    return [spec.name for spec in _layout(path, OpenFile.reading(path)).specs]


def _layout(path: Path, file: OpenFile) -> Layout:
    try:
        return read_layout(os.pread(file.fd, header_size(os.pread(file.fd, 8, 0)), 0))
    except InvalidTensors as error:
        raise BadRequest(f"{path.name}: {error.detail}") from error


def _chosen(path: Path, names: Sequence[str], columns: Sequence[str] | None) -> Sequence[str]:
    """``columns``, if all of them are there; all names, if it is None."""
    for name in columns or ():
        if name not in names:
            raise BadRequest(f"{path.name} has no array {name!r}; there are: {', '.join(names[:20])}")
    return names if columns is None else columns
