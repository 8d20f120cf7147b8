"""What is over, forgotten: rounds expire, seeds are overwritten, keys of epochs that nothing needs are removed.

What is claimed of it is :data:`grid.key_host.epochs.ERASURE`, and no more.
"""

from __future__ import annotations

from sqlalchemy import or_, select

from grid.key_host.core import HostCore
from grid.key_host.machines.round import expire
from grid.key_host.rounds import HeldRound
from grid.key_host.tables import KeyHostRound
from syft_ext.confidential.rounds import RoundContext

__all__ = ["erase"]


def erase(core: HostCore) -> int:
    """Expire rounds and erase seeds whose time has come; how many rounds changed."""
    changed = 0
    with core.turn() as turn:
        left = or_(KeyHostRound.upload_seed.is_not(None), KeyHostRound.release_seed.is_not(None))
        for row in turn.session.scalars(select(KeyHostRound).where(left)):
            held_round = HeldRound(row, RoundContext.decode(row.statement))
            step = expire(held_round.facts(), turn.at)
            if step.effects:
                held_round.take(step)
                changed += 1
        turn.session.flush()
        needed = set(turn.session.scalars(select(KeyHostRound.epoch).where(left).distinct()))
        at = turn.at
    if changed:
        core.db.fold()
    core.epochs.drop(needed, at)
    return changed
