"""The site's policy as it is now, and the checks that services share."""

from __future__ import annotations

import msgspec
from sqlalchemy.orm import Session

from grid.access.tables import PolicyRow
from syft_ext.errors import Forbidden, TooLarge
from syft_ext.messages.policy import SitePolicy

__all__ = ["check_operation", "check_output", "check_rows", "current_policy"]


def current_policy(session: Session) -> SitePolicy:
    """The policy that applies in this transaction; the defaults when the owner never set one."""
    row = session.get(PolicyRow, 1)
    return SitePolicy() if row is None else msgspec.convert(row.document, SitePolicy)


def check_operation(policy: SitePolicy, name: str) -> None:
    """Raise :class:`Forbidden` for an operation or statistic that the policy does not allow."""
    if policy.allowed_operations is not None and name not in policy.allowed_operations:
        raise Forbidden(f"the site's policy does not allow {name}", operation=name)


def check_rows(policy: SitePolicy, rows: int) -> None:
    """Raise :class:`Forbidden` for an aggregate over fewer rows than the policy demands.

    The message does not say how many there were: that is an aggregate too.
    """
    if rows < policy.min_rows:
        raise Forbidden(
            f"the site's policy demands aggregates over at least {policy.min_rows} rows",
            min_rows=policy.min_rows,
        )


def check_output(policy: SitePolicy, size: int) -> None:
    """Raise :class:`TooLarge` for ``size`` bytes of computed content going out at once."""
    if policy.max_output_bytes is not None and size > policy.max_output_bytes:
        raise TooLarge("the site's policy does not let so much out at once", limit=policy.max_output_bytes)
