"""The holder's side of a training whose reports are encrypted: fetch the sum, open it, say what is in it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from syft_ext.client.transfer import download, upload
from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.statement import CKKS
from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.errors import Conflict, DeadlineExceeded, InvalidTensors, NotFound, Unavailable
from syft_ext.messages.encrypted_sums import AdvanceTraining, EncryptedSumView, GetEncryptedSum
from syft_ext.messages.federated import EventsReply, ProcessView, WatchProcess
from syft_ext.messages.training_reviews import DefinitionView, GetDefinition, ModelTensor
from syft_ext.tensors import iter_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from syft_ext.client.caller import Caller

__all__ = ["OpenedSum", "advance", "open_all", "open_sum"]

_WAIT = 25.0
_ENDED = frozenset({"completed", "cancelled", "failed"})


@dataclass(frozen=True, slots=True)
class OpenedSum:
    """What was in the encrypted sum of a cycle.

    Attributes:
        cycle: its number. count: how many reports are in it, as every ciphertext of it says.
        sums: of the differences (base minus trained) of the model's parameters, flat, in whole steps of the
            grid: the exact sum, without the errors of decryption.
    """

    process_id: str
    cycle: int
    count: int
    sums: NDArray[np.float64]
    tensors: tuple[ModelTensor, ...]

    def mean(self) -> dict[str, NDArray[np.float64]]:
        """The averaged difference: name → numbers in the parameter's shape. Minus it, the model is the next one
        (plain mean)."""
        found, offset = {}, 0
        for each in self.tensors:
            size = math.prod(each.shape)
            found[each.name] = (self.sums[offset : offset + size] / self.count).reshape(each.shape)
            offset += size
        return found


def open_sum(client: Caller, process_id: str, keys: EncryptionKeys) -> OpenedSum:
    """Fetch the sum that waits, and open it here.

    Raises :class:`NotFound` where none waits; :class:`Conflict` for keys that are not the training's;
    :class:`InvalidTensors` where something else is in it than ``count`` reports: nothing of it is told anybody.
    """
    definition: DefinitionView = client.call(GetDefinition(process_id=process_id))
    if definition.facts.server_config.get("report_format") != CKKS:
        raise Conflict("the reports of this training are not encrypted", reason="format")
    terms = EncryptedSumTerms.parse(definition.facts.server_config["report_options"])
    tensors = tuple(each for each in definition.model if each.kind == "parameter")
    rules = terms.rules(sum(math.prod(each.shape) for each in tensors))
    view: EncryptedSumView
    view, content = download(client, GetEncryptedSum(process_id=process_id), "encrypted sum")
    if not terms.minimum <= view.count <= terms.participants:
        raise InvalidTensors(f"a sum of {view.count} reports: the training's are of {terms.minimum} at least")
    sums = rules.opened(keys, bytes(content), view.count)
    return OpenedSum(process_id, view.cycle, view.count, sums, tensors)


def advance(client: Caller, opened: OpenedSum) -> ProcessView:
    """Tell the Domain the sum: it makes the next model, and the training goes on."""
    import torch

    message = AdvanceTraining(process_id=opened.process_id, cycle=opened.cycle)
    pieces = list(iter_tensors({"sum": torch.from_numpy(np.ascontiguousarray(opened.sums))}))
    found: ProcessView = upload(client, message, pieces, f"sum of cycle {opened.cycle}")
    return found


def open_all(client: Caller, process_id: str, keys: EncryptionKeys, timeout: float | None) -> ProcessView:
    """Open every sum as it comes, until the training ends; its state then. Raises :class:`DeadlineExceeded`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    after = 0
    while True:
        try:
            advance(client, open_sum(client, process_id, keys))
        except (NotFound, Unavailable):  # none waits, or a Domain that restarts
            pass
        except Conflict as error:
            if error.extra.get("reason") != "state":
                raise
        left = _WAIT if deadline is None else min(_WAIT, deadline - time.monotonic())
        if left <= 0:
            raise DeadlineExceeded(f"the training has not ended within {timeout:g} s", seconds=timeout)
        try:
            events: EventsReply = client.call(
                WatchProcess(process_id=process_id, after=after, timeout=left), timeout=left + _WAIT
            )
        except Unavailable:  # a Domain that restarts goes on
            continue
        after = events.last
        if events.process.status in _ENDED:
            return events.process
