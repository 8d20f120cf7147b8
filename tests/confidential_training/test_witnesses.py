"""What a Domain keeps of its witnesses: their signatures of its own heads, and nothing else they may sign."""

from __future__ import annotations

from typing import Any

import pytest

from grid.confidential.log import DomainLog, Publication
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.transparency.log import TreeHead
from syft_ext.errors import InvalidStatement
from syft_ext.identity import Identity


@pytest.mark.parametrize("field", ["root", "size", "at", "log"])
def test_a_host_that_signs_something_else_is_no_witness(database: Database, field: str) -> None:
    """Else one host makes all participants refuse, and a restored database never takes up what it lost."""
    keeper, host = Identity.generate(), Identity.generate()
    log = DomainLog(database, keeper, ManualClock(1_000_000.0))
    log.publish([Publication("policy", bytes([number]) * 32) for number in range(3)])
    head = log.head().head.open(TreeHead, key_of(keeper))
    changed: dict[str, Any] = {"root": b"\1" * 32, "size": 1 << 40, "at": head.at + 1, "log": key_of(host)}
    fields = {"log": head.log, "size": head.size, "root": head.root, "at": head.at}
    with pytest.raises(InvalidStatement):
        log.witnessed(key_of(host), Signed.make(TreeHead(**{**fields, field: changed[field]}), host))
    assert log.standing() == {}
    log.witnessed(key_of(host), Signed.make(head, host))
    assert log.standing() == {key_of(host).hex(): 3}
