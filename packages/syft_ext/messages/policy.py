"""The site's policy: what a Domain's owner demands of everything that leaves, whatever a job asks for."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Name, Size
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER, flag

__all__ = ["GetPolicy", "PolicyView", "SetPolicy", "SitePolicy"]

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class SitePolicy(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """What the owner demands. It is applied after whatever a job does itself, and no job can loosen it.

    Attributes:
        allowed_operations: names of remote operations (``aten.mm.default``) and statistics
            (``statistics.mean``) that may run; None: all of the allow-list.
        min_rows: aggregates over fewer rows are refused, groups and bins of fewer rows are suppressed.
        max_output_bytes: most that one download of computed content may hand out; None: no cap.
        statistics_epsilon: every number of a statistic gets Laplace noise for this epsilon, from the bounds
            that the owner gave in the column's schema; each costs the user's privacy budget as much.
            Statistics without a mechanism are refused then.
        required_approvals: how many different reviewers must approve a request.
        min_participants: a training's cycle with fewer reports releases no model.
        clip_norm: what each participant of a training contributes (its difference to the model, all numbers
            together) is clipped to this L2 norm, and so are all results of a run of an approved plan.
        noise_multiplier: Gaussian noise with a standard deviation of this, times ``clip_norm``, is added once
            to the sum of a cycle's contributions, and to the results of a run of an approved plan.

    A cycle of a training is under the policy that stood when it was opened: a change acts on the very next
    one. ``min_rows`` refuses reports that state fewer samples, and runs of plans on inputs of fewer rows (of
    the first dimension). ``max_output_bytes`` is not for the models of trainings: their size is fixed when
    they are hosted, and what they say of the data is what the three fields above are for.
    """

    allowed_operations: Annotated[list[Name], msgspec.Meta(max_length=1000)] | None = None
    min_rows: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)] = 1
    max_output_bytes: Size | None = None
    statistics_epsilon: _Positive | None = None
    required_approvals: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    min_participants: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    clip_norm: _Positive | None = None
    noise_multiplier: _Positive | None = None


class PolicyView(Reply):
    """The policy, and when it was set (seconds since the epoch; 0: never, these are the defaults)."""

    policy: SitePolicy
    changed_at: float = 0.0
    changed_by: str = ""


@operation("policy.get", rest="GET /policy", reply=PolicyView, permission=USER)
class GetPolicy(Message):
    """The site's policy: everybody here may know the rules that apply to them."""


@operation("policy.set", rest="PUT /policy", reply=PolicyView, permission=flag("can_edit_settings"))
class SetPolicy(Message):
    """Replace the site's policy as a whole. Only the Owner may; it acts on the very next operation."""

    policy: SitePolicy
