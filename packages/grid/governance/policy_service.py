"""The operations on the site's policy: everybody reads it, its Owner sets it."""

from __future__ import annotations

import math

import msgspec

from grid.access.policy import current_policy
from grid.access.tables import PolicyRow
from grid.accounts.powers import OWNER
from grid.node import Context, Service, handles
from grid.privacy.mechanisms.registry import vector_mechanism
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages import policy as p

__all__ = ["PolicyService"]


class PolicyService(Service):
    """The operations on the site's policy; until it is set, the default is in force."""

    @handles(p.GetPolicy)
    def get(self, ctx: Context, message: p.GetPolicy) -> p.PolicyView:
        with self.node.db.read() as session:
            row, policy = session.get(PolicyRow, 1), current_policy(session)
            if row is None:
                return p.PolicyView(policy=policy)
            return p.PolicyView(policy=policy, changed_at=row.changed_at, changed_by=row.changed_by)

    @handles(p.SetPolicy)
    def set(self, ctx: Context, message: p.SetPolicy) -> p.PolicyView:
        """Nothing keeps a copy of the policy: whoever applies it reads it in their own transaction."""
        if ctx.principal.role != OWNER:
            raise Forbidden("only the Owner sets the site's policy")
        _check(message.policy)
        document, now = msgspec.to_builtins(message.policy), self.node.clock.now()
        with self.node.db.transaction() as session:
            before = msgspec.to_builtins(current_policy(session))
            row = PolicyRow(id=1, document=document, changed_at=now, changed_by=ctx.principal.id)
            session.merge(row)
        ctx.note(changed=",".join(name for name in document if document[name] != before[name]))
        return p.PolicyView(policy=message.policy, changed_at=now, changed_by=ctx.principal.id)


def _check(policy: p.SitePolicy) -> None:
    """Raise :class:`BadRequest` for what no service could apply."""
    for name in ("statistics_epsilon", "statistics_total", "clip_norm", "noise_multiplier"):
        value = getattr(policy, name)
        if value is not None and not math.isfinite(value):
            raise BadRequest(f"{name} is not a finite number", field=name)
    if policy.noise_multiplier is not None and policy.clip_norm is None:
        raise BadRequest("noise_multiplier is in units of clip_norm: set that, too", field="noise_multiplier")
    # A mechanism that is named is there, and can do what it is asked for, also where no noise is demanded yet.
    vector_mechanism(policy.clip_norm or 1.0, policy.noise_multiplier or 1.0, policy.mechanism)
