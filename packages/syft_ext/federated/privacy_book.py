"""What private training told of the rows of this machine, over all trainings, processes and restarts.

One file in the user's folder, changed under a lock and on disk before the steps run that it counts: a process
that is killed between the two has counted steps that told nobody anything, and never the other way round.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from syft_ext.errors import BadRequest, Forbidden
from syft_ext.privacy.renyi import GaussianAccount
from syft_ext.profile.home import locked, read_json, settled, user_home, write_private

__all__ = ["DELTA", "PrivacyBook"]

DELTA = 1e-6
"""The δ of budgets, as of ledgers."""
_NAME = "privacy.json"


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``steps``: by data, (noise multiplier, steps of the row that was in most of them)."""

    steps: dict[str, list[tuple[float, int]]] = {}


class PrivacyBook:
    """The account of some data in the file of this user.

    Args:
        data: what they are called. All data without a name have one account: whether two of them hold the same
            rows is not guessed.
        budget: the ε (δ 10⁻⁶) that steps may tell of a row in all; None: they are counted, and not limited.
        folder: where the file is; by default the user's own.
    """

    def __init__(self, data: str = "", *, budget: float | None = None, folder: Path | None = None) -> None:
        if budget is not None and not (math.isfinite(budget) and budget > 0):
            raise BadRequest("a privacy budget is a number above 0", field="privacy_budget")
        self.data, self.budget = data, budget
        self._path = (folder or user_home()) / _NAME

    @property
    def account(self) -> GaussianAccount:
        """What was told so far. Raises :class:`BadRequest` for a damaged file."""
        return self._account(read_json(self._path, _Told, _Told()))

    def charge(self, noise_multiplier: float, steps: int) -> GaussianAccount:
        """Count steps that are about to run; when this returns, they are on disk. The account with them.

        Raises :class:`Forbidden`, and counts nothing, where they would tell more than the budget; and
        :class:`BadRequest` for a damaged file: nothing runs then.
        """
        with locked(self._path):
            kept = read_json(self._path, _Told, _Told())
            account = self._account(kept)
            before = account.epsilon(DELTA)
            account.compose(noise_multiplier, steps)
            after = account.epsilon(DELTA)
            if self.budget is not None and after > self.budget:
                raise Forbidden(
                    f"the owner of the data lets private training tell an epsilon of {self.budget:.6g} of a row: "
                    f"{before:.6g} was told, and with these steps it were {after:.6g}",
                    left=max(0.0, self.budget - before),
                )
            changed = {**kept.steps, self.data: sorted(account.steps.items())}
            write_private(self._path, msgspec.json.encode(_Told(changed)))
            settled(self._path.parent)
        return account

    def _account(self, kept: _Told) -> GaussianAccount:
        account = GaussianAccount()
        try:
            for multiplier, steps in kept.steps.get(self.data, []):
                account.compose(multiplier, steps)
        except ValueError as error:
            raise BadRequest(f"{_NAME} in your Grid folder is damaged ({error}); restore it") from error
        return account
