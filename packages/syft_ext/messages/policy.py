"""The site's policy: what a Domain's owner demands of everything that leaves, whatever a job asks for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Name, Size
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER, flag

__all__ = ["CyclePolicy", "GetPolicy", "PolicyView", "SetPolicy", "SitePolicy"]

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class SitePolicy(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """What the owner demands. It is applied after whatever a job does itself, and no job can loosen it.

    Attributes:
        allowed_operations: names of remote operations (``aten.mm.default``) and statistics
            (``statistics.mean``) that may run; None: all of the allow-list.
        min_rows: above 1, statistics are of guarded tables: every number follows from measurements with Gaussian
            noise of at least so many rows, made once and charged to the table's ledger; groups and bins of
            fewer rows are kept back. Plans and reports of trainings over fewer rows are refused.
        max_output_bytes: most that one download of computed content may hand out; None: no cap.
        statistics_epsilon: tables are guarded with noise of at least its inverse, and what is measured for the
            first time costs the user who asks so much of their privacy budget, for each unit.
        statistics_total: what all statistics of a guarded table may tell everybody together of any row, in epsilon
            (at delta 1e-6), over all versions, unless the table's owner grants it another total. Results of
            approved plans with noise are charged to the same ledger, and do not run where it has too little left.
        trainings_total: what all cycles of a training with noise, over all of its versions, may tell of any
            participant, in epsilon (at delta 1e-6): a cycle for which too little is left is not opened. None: it
            is counted, and not limited.
        strict: a guarded table's ledger is so small that no count is ever known better than to half of
            ``min_rows``, whatever was granted.
        required_approvals: how many different reviewers must approve a request.
        min_participants: a training's cycle with fewer participants releases no model; counted are users,
            accepted Workers and accepted guests, each once, however many devices and keys they have.
        clip_norm: what each participant of a training contributes (its difference to the model, all parameters
            together) is clipped to this L2 norm, and so are all results of a run of an approved plan. What is no
            parameter of a model (running statistics, counters) stays as it was hosted then. Loss and
            accuracy of a report are kept with four significant digits, and told only in the cycle's mean.
        trainings: whose word a training needs before it begins: of reviewers ("reviewed"; as many as
            ``required_approvals``), of nobody if its host has the permission can_host_trainings ("trusted-users"),
            or of nobody ("open"). The Owner needs nobody's.
        participation: who may take part in trainings: users of this Domain, Workers and guests that it
            accepted ("accepted"), or anybody ("open"): then nobody knows who a participant is, and
            ``min_participants`` protects nobody.
        max_samples: one report weighs as much as this, however many samples it says it has.
        trained_models: who may read trainings, their history, metrics and models: their hosts, those whom they
            gave them, and whoever manages or reviews here ("host"), or all users ("users").
        noise_multiplier: Gaussian noise with a standard deviation of this, times ``clip_norm``, is added once
            to the sum of a cycle's contributions, and to the results of a run of an approved plan. The noise is
            exact, on a grid (its step is between 2^-24 and 2^-23 of ``clip_norm``), and the same whenever the same
            is released again. Loss, accuracy and samples of reports are not kept then: no noise covers them. A
            report that is not finite counts as zeros, a plan that failed on values has learned nothing, and what
            single assignments came to is shown to whoever manages this Domain.
        mechanism: the privacy mechanism that makes this noise: Grid's, or that of an installed package (entry
            points ``grid.privacy_mechanisms``) for vectors, exact, and repeatable from a key.

        intersection_ids: how many ids one user, and one other Domain, may test against a table (over all versions)
            in private set intersections, in all: who learns how many of their ids are in it learns, id by id, who
            is. Fewer than ``min_rows`` in common are never told.

    A cycle of a training is under the policy that stood when it was opened: a change acts on the very next
    one. ``min_rows`` refuses reports that state fewer samples, and runs of plans on inputs of fewer rows (of
    the first dimension). ``max_output_bytes`` is not for the models of trainings: their size is fixed when
    they are hosted, and what they say of the data is what the three fields above are for.
    """

    allowed_operations: Annotated[list[Name], msgspec.Meta(max_length=1000)] | None = None
    min_rows: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)] = 1
    max_output_bytes: Size | None = None
    statistics_epsilon: _Positive | None = None
    statistics_total: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 6.0
    strict: bool = False
    required_approvals: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    min_participants: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    clip_norm: _Positive | None = None
    noise_multiplier: _Positive | None = None
    mechanism: Name = "discrete_gaussian"
    trainings: Literal["reviewed", "trusted-users", "open"] = "reviewed"
    participation: Literal["accepted", "open"] = "accepted"
    max_samples: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 10_000
    trained_models: Literal["host", "users"] = "host"
    trainings_total: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    intersection_ids: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 200_000


class CyclePolicy(msgspec.Struct, kw_only=True, frozen=True):
    """What the policy demands of a training's cycle, whatever the training does itself; its fields are those of
    :class:`SitePolicy`. These stood when the cycle was opened."""

    min_participants: int = 1
    clip_norm: float | None = None
    noise_multiplier: float | None = None
    min_rows: int = 1
    participation: Literal["accepted", "open"] = "accepted"
    max_samples: int = 10_000
    mechanism: str = "discrete_gaussian"


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
