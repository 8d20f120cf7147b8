"""Hosting a training whose reports are encrypted: what goes into its configuration, and along with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from syft_ext.encrypted.context import EncryptionKeys, PublicContext
from syft_ext.encrypted.statement import CKKS, CONTEXT_PROTOCOL
from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.errors import InvalidConfig

__all__ = ["EncryptedSums"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedSums:
    """That a training's reports are encrypted, and for whom.

    Attributes:
        keys: yours, or the public context of whoever opens the sums. The secret key is sent nowhere.
        clip: no number of a report is larger in magnitude; with the most participants, 4096 at most in all.
        minimum: fewest reports whose sum you are given; None: the training's ``min_diffs``, else its
            ``max_diffs``.
        norm: the L2 norm that each participant scales its report down to; needed for noise.
        noise: the deviation, in units of ``norm``, of the noise that the honest participants of a sum make
            together; None: no noise. A site's policy with noise takes trainings with as much, within its
            ``clip_norm``.
        corrupt: of the ``minimum``, how many may add no noise, or tell others theirs.
    """

    keys: EncryptionKeys | PublicContext
    clip: float
    minimum: int | None = None
    norm: float | None = None
    noise: float | None = None
    corrupt: int = 0

    def config(self, server_config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with format and terms. Raises :class:`InvalidConfig`, naming the field."""
        for field in ("report_format", "report_options"):
            if server_config.get(field):
                raise InvalidConfig(f"server_config: encrypted= says the {field}", field=field)
        most = server_config.get("max_diffs")
        if not isinstance(most, int):
            raise InvalidConfig("server_config: encrypted sums are of max_diffs reports", field="max_diffs")
        minimum = self.minimum if self.minimum is not None else server_config.get("min_diffs") or most
        context = self._context
        terms = EncryptedSumTerms(
            context=context.digest,
            parameters=context.parameters,
            clip=float(self.clip),
            participants=most,
            minimum=int(minimum),
            norm=None if self.norm is None else float(self.norm),
            noise=None if self.noise is None else float(self.noise),
            corrupt=self.corrupt,
        )
        options = msgspec.to_builtins(terms)
        EncryptedSumTerms.parse(options)
        return {**server_config, "report_format": CKKS, "report_options": options}

    def protocols(self) -> dict[str, bytes]:
        """What the participants are handed: the public context."""
        return {CONTEXT_PROTOCOL: self._context.content}

    @property
    def _context(self) -> PublicContext:
        return self.keys.public if isinstance(self.keys, EncryptionKeys) else self.keys
