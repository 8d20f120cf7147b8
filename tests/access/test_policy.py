"""What the site's policy refuses, and what it says of it."""

from __future__ import annotations

import pytest

from grid.access.policy import check_operation, check_output, check_rows, current_policy
from grid.access.tables import PolicyRow
from grid.storage.sql.database import Database
from syft_ext.errors import Forbidden, TooLarge
from syft_ext.messages.policy import SitePolicy


def test_a_node_whose_owner_set_none_has_the_defaults(db: Database) -> None:
    with db.transaction() as session:
        assert current_policy(session) == SitePolicy()
        session.add(PolicyRow(id=1, document={"min_rows": 7}, changed_at=0.0, changed_by=""))
    with db.transaction() as session:
        assert current_policy(session) == SitePolicy(min_rows=7)


def test_operations_are_those_that_are_listed() -> None:
    check_operation(SitePolicy(), "mean")
    check_operation(SitePolicy(allowed_operations=["mean"]), "mean")
    with pytest.raises(Forbidden, match="does not allow median") as caught:
        check_operation(SitePolicy(allowed_operations=["mean"]), "median")
    assert caught.value.extra == {"operation": "median"}


def test_how_many_rows_there_were_is_not_told() -> None:
    check_rows(SitePolicy(min_rows=5), 5)
    with pytest.raises(Forbidden, match="at least 5 rows") as caught:
        check_rows(SitePolicy(min_rows=5), 4)
    assert "4" not in str(caught.value) and caught.value.extra == {"min_rows": 5}


def test_outputs_are_at_most_so_large() -> None:
    check_output(SitePolicy(), 1 << 60)
    check_output(SitePolicy(max_output_bytes=10), 10)
    with pytest.raises(TooLarge, match="does not let so much out"):
        check_output(SitePolicy(max_output_bytes=10), 11)
