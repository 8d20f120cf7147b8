"""What a participant has: a table with names, arrays with or without, or a folder with one folder per class.

The importers of :mod:`syft_ext.sources` read; here is only what there is, by name, before anybody asks for rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.vocabulary import ColumnMetadata, TableOptions
from syft_ext.profile.home import user_home
from syft_ext.sources.content import PartsContent
from syft_ext.sources.frames import array_of, content_of
from syft_ext.sources.images import SUFFIXES
from syft_ext.sources.opening import FORMATS, column_names, open_source

__all__ = ["SiteArrays", "SiteData", "SiteFolder", "SiteTable", "columns_of", "site_data"]

Array = NDArray[Any]
_USUAL = TableOptions()
_TORCH_LOADER = "torch.utils.data.dataloader"


class SiteData:
    """Attributes:
    title: what it is called in errors.
    metadata: what its owner says of columns: unit, categories.
    """

    title: str
    metadata: ColumnMetadata


class SiteTable(SiteData, ABC):
    """Columns by name.

    Attributes:
        names: of all columns, as they stand there.
        units: of times that were read: name → what one count is, and since when.
    """

    names: list[str]
    units: dict[str, str]

    @abstractmethod
    def read(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, Array]:
        """These columns, whole: name → its words, or () for numbers. Raises :class:`BadRequest`."""

    def _taken(self, wanted: Mapping[str, Sequence[str]], content: PartsContent) -> dict[str, Array]:
        found = zip(wanted, content.parts, strict=True)
        self.units |= {name: str(part.found["unit"]) for name, part in found if "unit" in part.found}
        return dict(zip(wanted, content.arrays().values(), strict=True))

    def column(self, name: str) -> Any:
        """The column as somebody has it in memory; None of a file."""
        return None

    def about(self, name: str) -> Mapping[str, Any]:
        """What its owner says of a column."""
        return self.metadata.get(name, {})


class _File(SiteTable):
    def __init__(self, path: Path, metadata: ColumnMetadata, options: TableOptions) -> None:
        self.title, self.metadata, self._path, self._options = path.name, metadata, path, options
        self.units = {}
        self.names = column_names(path, options)

    def read(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, Array]:
        metadata = _with_words(self.metadata, wanted)
        content = open_source(
            self._path, metadata, spool=_spool(), columns=list(wanted), options=self._options
        )
        return self._taken(wanted, content)


class _Columns(SiteTable):
    """What has columns in memory."""

    def __init__(self, title: str, columns: Mapping[str, Any], metadata: ColumnMetadata) -> None:
        self.title, self.metadata, self._columns = title, metadata, columns
        self.names, self.units = list(columns), {}

    def column(self, name: str) -> Any:
        return self._columns[name]

    def read(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, Array]:
        for name, words in wanted.items():
            if words and str(getattr(self._columns[name], "dtype", "")).lower().startswith(
                ("float", "torch.float")
            ):
                raise BadRequest(
                    f"{self.title}, column {name!r}: fractions, where words are wanted; give words, or"
                    f" whole numbers"
                    " and in the schema the categories that they stand for"
                )
        chosen = {name: _plain(self._columns[name], bool(words)) for name, words in wanted.items()}
        content = content_of(chosen, _with_words(self.metadata, wanted), self.title)
        return self._taken(wanted, content)


class SiteArrays(SiteData):
    """Arrays; ``named``: under names that somebody gave them, and not only samples and labels by their place.

    Attributes:
        classes: the words that whole labels stand for, if it says so.
    """

    def __init__(
        self,
        title: str,
        arrays: Mapping[str, Array],
        metadata: ColumnMetadata,
        *,
        named: bool,
        classes: Sequence[str] = (),
    ) -> None:
        self.title, self.arrays, self.metadata = title, arrays, metadata
        self.named, self.classes = named, classes
        for key, array in arrays.items():
            if isinstance(array, np.ma.MaskedArray) and (hidden := np.ma.getmaskarray(array)).any():
                row = int(hidden.reshape(len(array), -1).any(1).argmax())
                raise BadRequest(f"{title}, {key}, row {row + 1}: a value is masked; leave such rows out")

    def table(self) -> SiteTable:
        """Its arrays as columns."""
        return _Columns(self.title, self.arrays, self.metadata)


class SiteFolder(SiteData):
    """One folder per class, with pictures or ``.npy`` files.

    Attributes:
        files: class → its files, in the order of their names.
    """

    def __init__(self, path: Path, metadata: ColumnMetadata) -> None:
        self.title, self.metadata, self.path = path.name, metadata, path
        children = sorted(child for child in path.iterdir() if child.name[0] != ".")
        loose = next((child for child in children if not child.is_dir()), None)
        if loose is not None or not children:
            found = f"and {loose.name} is none" if loose else "and there is none"
            raise BadRequest(f"{path.name}: one folder for each class is needed, {found}")
        self.files = {child.name: _samples(path, child) for child in children}

    def read(self) -> tuple[Array, list[str]]:
        """All samples, stacked, and the class of each. Pictures are as importers give them: uint8, or
        int32 for 16 bits, ``[N, channels, height, width]``. Raises :class:`BadRequest` naming what is
        damaged, or of another shape."""
        stacks = [(name, self._class(name, files)) for name, files in self.files.items() if files]
        if not stacks:
            raise BadRequest(f"{self.title}: there are no samples in its folders")
        forms = {
            (stack.shape[1:], stack.dtype.kind, stack.itemsize if stack.dtype.kind in "iu" else 0)
            for _, stack in stacks
        }
        if len(forms) > 1:
            said = ", ".join(f"{name}: {stack.dtype} {list(stack.shape[1:])}" for name, stack in stacks[:8])
            raise BadRequest(f"{self.title}: the samples have different shapes or types ({said})")
        return np.concatenate([stack for _, stack in stacks]), [name for name, stack in stacks for _ in stack]

    def _class(self, name: str, files: Sequence[Path]) -> Array:
        try:
            return open_source(self.path / name, {}, spool=_spool(), kind="images").arrays()["image"]
        except BadRequest as error:
            raise BadRequest(f"{self.title}/{error.detail}") from error


def _spool() -> Path:
    spool = user_home() / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    return spool


def _samples(root: Path, folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.name[0] != ".")
    for file in files:
        if file.suffix.lower() not in SUFFIXES | {".npy"}:
            known = ", ".join(sorted(SUFFIXES | {".npy"}))
            raise BadRequest(f"{root.name}/{folder.name}/{file.name} is no sample ({known})")
    return files


def site_data(
    value: Any,
    schema: ColumnMetadata | None = None,
    name: str = "the data",
    *,
    options: TableOptions = _USUAL,
) -> SiteData:
    """What there is: of a path, a frame (pandas, Polars, Arrow), a mapping of columns or arrays, a dataset
    or loader of torch, or the pair (samples, labels).

    Args:
        schema: what its owner says of columns: name → unit, categories.
        name: what it is called in errors, where it has no file name.
        options: how the text of a CSV is written.

    Raises :class:`NotFound`, or :class:`BadRequest` for what cannot be read.
    """
    metadata = schema or {}
    if isinstance(value, SiteData):
        return value
    if isinstance(value, str | Path):
        try:
            return _of_path(Path(value), metadata, options)
        except OSError as error:
            raise BadRequest(f"{Path(value).name} cannot be read: {error.strerror or error}") from error
    try:
        return _in_memory(value, metadata, name)
    except (ValueError, TypeError) as error:  # rows of different lengths, mostly
        raise BadRequest(f"{name}: {error}") from error


def _in_memory(value: Any, metadata: ColumnMetadata, name: str) -> SiteData:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise BadRequest(
                f"{name}: give the pair (samples, labels), a frame, a mapping of columns, or a path"
            )
        arrays = {"x": _array(value[0], f"{name}, samples"), "y": _array(value[1], f"{name}, labels")}
        return SiteArrays(name, arrays, metadata, named=False)
    value = _unloaded(value, name)
    if hasattr(value, "column_names") and hasattr(value, "column"):  # Arrow
        return _Columns(name, _distinct(value.column_names, [*value.columns], name), metadata)
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        keys = list(value.columns)
        columns = [
            value.iloc[:, place] if hasattr(value, "iloc") else value[key] for place, key in enumerate(keys)
        ]
        return _Columns(name, _distinct(keys, columns, name), metadata)
    if isinstance(value, Mapping):
        columns = [
            array_of(each, f"{name}, {key}") if _is_nested(each) else each for key, each in value.items()
        ]
        return _mapping(name, _distinct(list(value), columns, name), metadata)
    if hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        return _of_dataset(value, metadata, name)
    raise BadRequest(f"{name}: {type(value).__name__} is no table, no arrays and no file")


def _mapping(name: str, columns: Mapping[str, Any], metadata: ColumnMetadata) -> SiteData:
    """Columns, where each row has one value; else arrays by name."""
    if all(getattr(each, "ndim", 1) == 1 for each in columns.values()):
        return _Columns(name, columns, metadata)
    return SiteArrays(name, {key: _array(each) for key, each in columns.items()}, metadata, named=True)


def _of_path(path: Path, metadata: ColumnMetadata, options: TableOptions) -> SiteData:
    if not path.exists():
        raise NotFound(f"there is nothing at {path}")
    if path.is_dir():
        return SiteFolder(path, metadata)
    kind = FORMATS.get(path.suffix.lower(), "")
    if kind in ("csv", "parquet"):
        return _File(path, metadata, options)
    if kind in ("npz", "safetensors"):
        return SiteArrays(path.name, _arrays(path, kind), metadata, named=True)
    raise BadRequest(
        f"{path.name}: data are .csv, .parquet, .npz, .safetensors, or a folder with one for each class"
    )


def _arrays(path: Path, kind: str) -> dict[str, Array]:
    try:
        if kind == "safetensors":
            from syft_ext.tensors import decode_tensors

            return {name: tensor.numpy() for name, tensor in decode_tensors(path.read_bytes()).items()}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except BadRequest as error:
        raise BadRequest(f"{path.name}: {error.detail}") from error
    except Exception as error:  # a damaged archive: numpy and zipfile raise what they like
        raise BadRequest(f"{path.name} is no archive of plain arrays: {error}") from error


def _of_dataset(dataset: Any, metadata: ColumnMetadata, name: str) -> SiteData:
    """A map-style dataset of torch: samples that are pairs, or mappings."""
    if not len(dataset):
        raise BadRequest(f"{name}: the dataset is empty")
    samples = [dataset[place] for place in range(len(dataset))]
    if isinstance(samples[0], Mapping):
        columns = {str(key): np.stack([_array(each[key]) for each in samples]) for key in samples[0]}
        return _mapping(name, columns, metadata)
    if len(samples[0]) != 2:
        raise BadRequest(f"{name}: a sample of the dataset is no pair (sample, label)")
    arrays = {place: np.stack([_array(each[index]) for each in samples]) for index, place in enumerate("xy")}
    return SiteArrays(name, arrays, metadata, named=False, classes=list(getattr(dataset, "classes", ())))


def _unloaded(value: Any, name: str) -> Any:
    """The dataset of a loader of torch that takes all of it as it is; whatever else, itself (a ``Subset`` has a
    dataset, too, of which it is a part)."""
    kinds = {(kind.__module__, kind.__name__) for kind in type(value).__mro__}
    if (_TORCH_LOADER, "DataLoader") not in kinds:
        return value
    dataset, sampler = value.dataset, getattr(value.batch_sampler, "sampler", value.sampler)
    everything = type(sampler).__name__ == "SequentialSampler" or (
        type(sampler).__name__ == "RandomSampler"
        and not sampler.replacement
        and sampler.num_samples == len(sampler.data_source)
    )
    plain = value.batch_sampler is None or type(value.batch_sampler).__name__ == "BatchSampler"
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise BadRequest(f"{name}: a loader of a dataset with a length and rows by number is needed")
    if not (everything and plain) or len(sampler.data_source) != len(dataset):
        raise BadRequest(
            f"{name}: the loader's sampler picks rows, which a training takes by itself: give a"
            " torch.utils.data.Subset of those that are meant"
        )
    if not value.collate_fn.__module__.startswith("torch.utils.data."):
        raise BadRequest(
            f"{name}: the loader's collate_fn makes other samples than its dataset has: give a dataset of them"
        )
    return dataset


def _is_nested(value: Any) -> bool:
    """Lists in a list. Those of a column the importers take as they are."""
    return isinstance(value, list | tuple) and any(
        isinstance(each, list | tuple | np.ndarray) or hasattr(each, "detach") for each in value
    )


def _array(value: Any, where: str = "the data") -> Array:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else array_of(value, where)


def _plain(column: Any, words: bool) -> Any:
    """A column as the importers take it; whole numbers as text where words are wanted: nobody has said which of
    them they stand for."""
    if words and (isinstance(column, np.ndarray) or hasattr(column, "detach")):
        array = _array(column)
        return array.astype(str) if array.dtype.kind in "iub" else array
    return column


def _distinct(keys: Sequence[Any], columns: Sequence[Any], title: str) -> dict[str, Any]:
    names = [str(key) for key in keys]
    if len(set(names)) != len(names):
        raise BadRequest(f"{title}: two columns have the same name")
    return dict(zip(names, columns, strict=True))


def _with_words(
    metadata: ColumnMetadata, wanted: Mapping[str, Sequence[str]]
) -> dict[str, Mapping[str, Any]]:
    """What is said of columns, with just the words that are wanted of each."""
    said: dict[str, Mapping[str, Any]] = {}
    for name, words in wanted.items():
        about = {key: value for key, value in metadata.get(name, {}).items() if key != "categories"}
        said[name] = {**about, "categories": list(words)} if words else about
    return said


def columns_of(title: str, columns: Mapping[str, Any], metadata: ColumnMetadata) -> SiteTable:
    """Columns in memory, with what is said of them."""
    return _Columns(title, columns, metadata)
