"""``domain.dp``: private queries of one Domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syft_ext.dp.queries import QUERIES, PrivateQuery

if TYPE_CHECKING:
    from collections.abc import Callable

    from syft_ext.client.caller import Caller

__all__ = ["DomainQueries"]


class DomainQueries:
    """``domain.dp.BoundedMean(epsilon=0.5).quick_result(asset, "age")``: as in :mod:`syft_ext.dp.queries`; what
    is at another Domain is refused."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., PrivateQuery]:
        kind = QUERIES.get(name)
        if kind is None:
            raise AttributeError(
                f"no private query is called {name!r}; there are: {', '.join(sorted(QUERIES))}"
            )

        def bound(*arguments: Any, **options: Any) -> PrivateQuery:
            return kind(*arguments, client=self.client, **options)

        return bound

    def __dir__(self) -> list[str]:
        return sorted(QUERIES)
