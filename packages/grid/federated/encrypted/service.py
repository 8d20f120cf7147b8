"""The messages of :mod:`syft_ext.messages.encrypted_sums`."""

from __future__ import annotations

from grid.catalogue.content import download
from grid.federated.pipeline import TrainingPipeline
from grid.federated.service import FederatedService
from grid.node import Context, Download, Service, handles
from grid.spending.keeping import WaitingWatch
from syft_ext.messages import encrypted_sums as m
from syft_ext.messages.federated import ProcessView

__all__ = ["EncryptedSumService"]

_KIND = "he.ckks"


class EncryptedSumService(Service):
    """Gives the host of a training its encrypted sums, and takes what they have opened; nobody else, managers
    neither."""

    @property
    def _federated(self) -> FederatedService:
        return self.node.service(FederatedService)

    @property
    def _pipeline(self) -> TrainingPipeline:
        return self._federated.pipeline

    @handles(m.GetEncryptedSum)
    def encrypted_sum(self, ctx: Context, message: m.GetEncryptedSum) -> Download:
        WaitingWatch(self.node.db).check()
        definition = self._federated.readers.find_own(ctx.principal, message.process_id, managers=False)
        found = self._pipeline.encrypted.waiting(definition.id)
        ctx.note(cycle=found.cycle, reports=found.count)
        view = m.EncryptedSumView(
            process_id=definition.id,
            cycle=found.cycle,
            count=found.count,
            digest=found.digest,
            size=found.size,
            kind=_KIND,
        )
        return download(self.node.blobs, found.digest, found.size, view)

    @handles(m.AdvanceTraining)
    def advance(self, ctx: Context, message: m.AdvanceTraining) -> ProcessView:
        definition = self._federated.readers.find_own(ctx.principal, message.process_id, managers=False)
        self._pipeline.encrypted.opened(definition.id, message.cycle, ctx.body)
        return self._pipeline.views.process(definition.id)
