"""Collections whose ``all()`` also comes as a pandas DataFrame (PyGrid 0.5: ``client.users.all(pandas=True)``)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from syft_ext.client.collection import Collection

if TYPE_CHECKING:
    import pandas

__all__ = ["Listing"]

T = TypeVar("T")


class Listing(Collection[T]):
    """A collection that the node lists in full."""

    @abstractmethod
    def _fetch(self) -> list[T]:
        """All of them, from the node."""

    @overload
    def all(self, *, pandas: Literal[False] = False) -> list[T]: ...
    @overload
    def all(self, *, pandas: Literal[True]) -> pandas.DataFrame: ...
    def all(self, *, pandas: bool = False) -> list[T] | pandas.DataFrame:
        """All of them; with ``pandas`` as a DataFrame of the table's columns (pandas must be installed)."""
        return self.to_pandas() if pandas else self._fetch()
