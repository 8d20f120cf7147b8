"""Epochs of a running node: its home learns how far the database has come before anything is swept. Restores."""

from __future__ import annotations

from contextlib import suppress

from grid.concurrency.offload import offload
from grid.installation.claim import Installation
from grid.node.node import Node
from grid.node.service import Context, Service, handles
from syft_ext.errors import Conflict, RestoredDatabase, Unavailable
from syft_ext.messages import installation as m

__all__ = ["InstallationService"]


class InstallationService(Service):
    """An epoch begins before every sweep, which deletes what the database does not know, and at the end.

    It is a node's first service, so that it is tidied before the others and stopped after them.
    """

    def __init__(self, node: Node, installation: Installation) -> None:
        super().__init__(node)
        self._installation = installation

    @handles(m.GetRestore)
    def restore(self, ctx: Context, message: m.GetRestore) -> m.RestoreView:
        return offload(self._installation.restore)

    @handles(m.AcknowledgeRestore)
    def acknowledge(self, ctx: Context, message: m.AcknowledgeRestore) -> m.RestoreView:
        view = offload(self._installation.acknowledge)
        ctx.note(
            lost_from=view.database.entry + 1,
            lost_to=view.known.entry,
            complete=view.complete,
            spent=view.spent,
            reason=view.reason,
        )
        return view

    def tidy(self) -> int:
        offload(self._installation.advance)
        return 0

    checks = "installation"

    def check(self) -> None:
        try:
            self._installation.check_running()
        except Conflict as error:  # its detail names the home and other nodes: not for everybody
            raise Unavailable(error.title) from error

    def stop(self) -> None:
        with suppress(RestoredDatabase):  # no epoch begins in a database that waits
            self._installation.advance()
