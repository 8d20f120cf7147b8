"""The default local training: the hosted plan over batches of local data, as ``client_config`` says."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from syft_ext.errors import VALUES, InvalidConfig, InvalidPlan, InvalidTensors
from syft_ext.federated.inputs.columns import lost_in_single
from syft_ext.federated.privacy_book import PrivacyBook
from syft_ext.plans import Plan
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.checking.noise import drawn_noise
from syft_ext.plans.graph.document import Input
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import format_expr
from syft_ext.plans.training.agreement import batch_bounds, check_names, placed
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.private_steps import (
    check_private_steps,
    noise_multiplier_of,
    takes_noise,
)
from syft_ext.plans.training.training_plan import Account, TrainingPlan
from syft_ext.privacy.renyi import GaussianAccount

__all__ = ["LocalTraining", "PlanTrainer", "training_plan_of"]

logger = logging.getLogger(__name__)

#: Input role → the output role whose values it takes in the next step.
CARRIED = ("param", "buffer", "state")


class LocalTraining(Protocol):
    """What a trainer sees of a job; the attributes are those of :class:`~syft_ext.federated.job.FLJob`."""

    plans: dict[str, Plan]
    model: Parameters
    client_config: dict[str, Any]

    @property
    def hides_failures(self) -> bool:
        """Whether nobody may hear that the plan failed on what the data hold."""

    @property
    def cycle(self) -> int:
        """Number of the cycle, from 1."""

    def emit_progress(self, updates: int | None = None) -> None:
        """Tell whoever listens that one more of so many ``updates`` is done."""


class PlanTrainer:
    """Runs a training plan over ``x`` and ``y``; an instance is a ``train`` callable for ``FLJob.run``.

    From ``client_config``: ``batch_size`` (default: all samples at once), ``epochs`` (default 1),
    ``max_updates`` (default: no limit), ``shuffle`` (default true), ``drop_last`` (default false: the last
    batch of an epoch may be shorter), and the value of every option of the plan by its name (``lr``, …); another
    name is refused. Class numbers become one-hot where the plan takes two columns or more; nothing else is
    reshaped, and no value is rounded to a whole number.

    Args:
        x, y: samples and targets, shapes ``[N, …]``.
        seed: of the shuffling, together with the cycle's number; None: not reproducible.
        book: where plans that take noise are counted, and limited; None: in this trainer alone.
        site: who trains, a key say: random draws of the plan (a seed that it takes, for dropout) are different at
            each site and in each cycle and step, and the same whenever the same site trains the same cycle again.

    Attributes:
        privacy: what plans that take noise told of any row so far: all that the book has of the data, or in the
            cycles that this trained.
    """

    def __init__(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        *,
        seed: int | None = None,
        site: str = "",
        book: PrivacyBook | None = None,
    ) -> None:
        if len(x) != len(y) or not len(x):
            raise InvalidTensors(f"{len(x)} samples and {len(y)} targets: as many of both are needed")
        self.x, self.y, self.seed, self.site = x, y, seed, site
        self._fitted: tuple[str, torch.Tensor, torch.Tensor] | None = None
        self._book = book
        self.privacy = GaussianAccount() if book is None else book.account
        self._tried: set[tuple[str, str]] = set()

    def __call__(self, job: LocalTraining) -> list[torch.Tensor]:
        """Train from ``job.model``; the updated parameters. Tells progress after every step.

        Where the job hides failures, a plan that fails on the values has learned nothing, and the model comes back
        as it was.
        """
        plan = training_plan_of(job.plans)
        check_names({name: each.document for name, each in job.plans.items()}, job.client_config)
        inputs = _Inputs(plan, job.model, job.client_config)
        batches = list(self._batches(job.client_config, batch_bounds(plan.document), job.cycle))
        if plan.account is not None:
            self._announce(plan.account, batches, len(self.x))
        if takes_noise(plan.document):
            self._account(plan, inputs, batches, job.client_config)
        untouched = [tensor.clone() for tensor in job.model] if job.hides_failures else []
        try:
            x, y = self._fit(plan, inputs)
            self._steps(job, inputs, batches, x, y)
        except InvalidPlan as error:
            if not job.hides_failures or error.extra.get("reason") != VALUES:
                raise
            logger.warning("reported as having learned nothing: %s", error.detail)
            return untouched
        return inputs.model()

    def _account(
        self,
        plan: TrainingPlan,
        inputs: _Inputs,
        batches: Sequence[torch.Tensor | slice],
        config: dict[str, Any],
    ) -> None:
        """Count, before anything runs, what the steps tell of the row that is in most of them.

        Batches do not depend on what is in the rows, so that a step tells of a row what its noise lets it, and
        steps without the row tell nothing of it. Nothing is gained by sampling: who draws batches is no secret.
        Raises :class:`InvalidPlan` for a plan whose noise does not cover a row, and
        :class:`~syft_ext.errors.Forbidden` where the owner's budget has too little left.
        """
        multiplier = noise_multiplier_of(plan.document, config)
        tried = plan.id, repr(sorted(config.items()))  # any option may change what noise and rows do
        if tried not in self._tried:
            own = {inputs.data[0]: self.x, inputs.target[0]: self.y}
            check_private_steps(plan, inputs.settled(), multiplier, rows=own)
            self._tried.add(tried)
        uses = torch.zeros(len(self.x), dtype=torch.int64)
        for rows in batches:
            uses[rows] += 1
        if self._book is None:
            self.privacy.compose(multiplier, int(uses.max()))
        else:
            self.privacy = self._book.charge(multiplier, int(uses.max()))
        if plan.account is not None:
            plan.account.privacy = self.privacy
        logger.info("of each row, with this cycle: epsilon %.4g at delta 1e-6", self.privacy.epsilon(1e-6))

    @staticmethod
    def _announce(account: Account, batches: Sequence[torch.Tensor | slice], count: int) -> None:
        used = torch.zeros(count, dtype=torch.bool)
        for rows in batches:
            used[rows] = True
        account.planned = int(used.sum())

    def _steps(
        self,
        job: LocalTraining,
        inputs: _Inputs,
        batches: Sequence[torch.Tensor | slice],
        x: torch.Tensor,
        y: torch.Tensor,
    ) -> None:
        chains, seed = _Chains(len(batches)), self._draws(job.cycle)
        for numbers in chains:
            chosen = [(x[batches[number]], y[batches[number]], number + seed) for number in numbers]
            chains.bytes = sum(part.nbytes for part in chosen[0][:2])
            inputs.steps(chosen)
            for _ in numbers:
                job.emit_progress(len(batches))

    def _fit(self, plan: TrainingPlan, inputs: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """The data as the plan wants them; converted once, not in every cycle."""
        if self._fitted is None or self._fitted[0] != plan.id:
            self._fitted = (plan.id, inputs.fit("data", self.x), inputs.fit("target", self.y))
        return self._fitted[1:]

    def _seed(self, cycle: int) -> int:
        return (self.seed or 0) * 1_000_003 + cycle * 10_007

    def _draws(self, cycle: int) -> int:
        """The seed of the plan's first step in this cycle; the next steps have those that follow."""
        text = f"{self.site}/{0 if self.seed is None else self.seed}/{cycle}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _batches(
        self, config: dict[str, Any], bounds: tuple[int, int] | None, cycle: int
    ) -> Iterator[torch.Tensor | slice]:
        """The rows of every batch of this cycle; ``bounds``: how many the plan takes at least and at most."""
        count = len(self.x)
        low, high = bounds or (1, count)
        fixed = low == high and low > 1
        size = low if fixed else _positive(config, "batch_size", count)
        limit = _positive(config, "max_updates", 0) or math.inf
        drop = bool(config.get("drop_last", fixed))
        self._check_size(size, low, high, drop)
        if size >= count:
            rows: Iterator[torch.Tensor | slice] = iter([slice(None)] * _positive(config, "epochs", 1))
        else:
            rows = self._drawn(config, size, drop, cycle)
        for number, batch in enumerate(rows):
            if number >= limit:
                return
            yield batch

    def _check_size(self, size: int, low: int, high: int, drop: bool) -> None:
        count = len(self.x)
        rows = f"exactly {low}" if low == high else f"{low} to {high}"
        if count < low or (drop and count < size):
            wanted = rows if count < low else f"exactly {size}"
            raise InvalidTensors(f"the plan takes batches of {wanted}, there are {count} samples")
        if not low <= min(size, count) <= high:
            raise InvalidTensors(
                f"the plan takes batches of {rows}, and batch_size makes them {min(size, count)}"
            )
        if size < count and 0 < count % size < low and not drop:
            raise InvalidTensors(
                f"the plan takes batches of {rows}, and the last one has {count % size} of {count} samples: "
                "drop_last in client_config leaves them out"
            )

    def _drawn(
        self, config: dict[str, Any], size: int, drop: bool, cycle: int
    ) -> Iterator[torch.Tensor | slice]:
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self._seed(cycle))
        count = len(self.x)
        for _ in range(_positive(config, "epochs", 1)):
            order = torch.randperm(count, generator=generator)
            if not config.get("shuffle", True):
                order = torch.arange(count)
            stop = count - count % size if drop else count
            for start in range(0, stop, size):
                yield order[start : start + size]


class _Chains:
    """How many steps go to the plan's process at once: as many as take a quarter of a second together.

    Attributes:
        bytes: of one batch; all batches of a chain are there at the same time.
    """

    SECONDS = 0.25
    LONGEST = 64
    LARGEST = 32 << 20

    def __init__(self, count: int) -> None:
        self._count = count
        self.bytes = 0

    def __iter__(self) -> Iterator[range]:
        done, length = 0, 1
        while done < self._count:
            numbers = range(done, min(done + length, self._count))
            begun = time.monotonic()
            yield numbers
            pace = (time.monotonic() - begun) / len(numbers)
            done = numbers.stop
            room = self.LARGEST // max(self.bytes, 1)
            length = max(1, min(2 * length, self.LONGEST, room, int(self.SECONDS / max(pace, 1e-6))))


def training_plan_of(plans: dict[str, Plan]) -> TrainingPlan:
    """The plan to train with: ``training_plan``, or the only one that returns updated parameters."""
    candidates = {
        n: p for n, p in plans.items() if isinstance(p, TrainingPlan) and p.outputs_with_role("param")
    }
    if "training_plan" in candidates:
        return candidates["training_plan"]
    if len(candidates) != 1:
        raise InvalidPlan(
            f"{len(candidates)} of the plans ({', '.join(plans) or 'none'}) train; "
            "call one yourself in an accepted listener or in train="
        )
    return next(iter(candidates.values()))


def _positive(config: dict[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or value != int(value) or value < 0:
        raise InvalidConfig(f"client_config: {name} is {value!r}, a whole number is needed", field=name)
    return int(value) or default


class _Inputs:
    """The flat inputs of a plan, step after step: what one step returned goes into the next."""

    def __init__(self, plan: TrainingPlan, model: list[torch.Tensor], config: dict[str, Any]) -> None:
        self.plan = plan
        self.data = _only(plan, "data")
        self.target = _only(plan, "target")
        self.values: list[torch.Tensor | None] = [_default(item) for item in plan.inputs]
        self._configure(config)
        self._places = self._place(model)
        self._carried = self._carry()
        taken = {output for output, _ in self._carried}
        self._wanted = [index for index in range(len(plan.outputs)) if index not in taken]

    def _configure(self, config: dict[str, Any]) -> None:
        for index, item in enumerate(self.plan.inputs):
            if item.role in ("hyper", "count") and item.name in config and item.name != "batch_size":
                self.values[index] = _scalar(item, config[item.name])

    def _where(self, *roles: str) -> list[int]:
        return [index for index, item in enumerate(self.plan.inputs) if item.role in roles]

    def _place(self, model: list[torch.Tensor]) -> list[int]:
        """Put the model's tensors where they belong: which inputs those are, in the model's order."""
        places = placed(self.plan.document, len(model))
        for index, tensor in zip(places, model, strict=True):
            self.values[index] = tensor
        return places

    def fit(self, role: str, values: torch.Tensor) -> torch.Tensor:
        """Local data as the plan takes them: in its dtype, where that keeps every value; class numbers one-hot
        where it takes two columns or more. Raises :class:`InvalidTensors` for another shape."""
        item = (self.data if role == "data" else self.target)[1]
        dtype = DTYPES[item.dtype]
        classes = _classes(item) if values.ndim == len(item.shape) - 1 else 0
        if role == "target" and classes >= 2 and not values.is_floating_point():
            labels = values.long()
            if labels.numel() and (int(labels.min()) < 0 or int(labels.max()) >= classes):
                raise InvalidPlan(
                    f"the plan takes targets from 0 to {classes - 1}, and there are others", reason=VALUES
                )
            values = torch.nn.functional.one_hot(labels, classes)
        _check_shape(item, values)
        return _converted(item, values, dtype)

    def steps(self, batches: Sequence[tuple[torch.Tensor, torch.Tensor, int]]) -> None:
        """One step after the other on x, y and a seed; what one returned, the next one takes."""
        chain = [self._flat(*batch) for batch in batches]
        for flat in chain[1:]:
            for output, place in self._carried:
                flat[place] = output
        results = self.plan.run_chain(chain, self._wanted)
        for flat, result in zip(chain, results, strict=True):
            self.plan.step(flat, result)
        for output, place in self._carried:
            self.values[place] = results[-1][output]

    def _flat(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> list[torch.Tensor | int]:
        values = self.values
        values[self.data[0]], values[self.target[0]] = x, y
        for index, item in enumerate(self.plan.inputs):
            if item.name == "batch_size" and item.role in ("hyper", "count"):
                values[index] = _scalar(item, len(x))
            elif item.role == "noise":
                values[index] = drawn_noise(item)
            elif item.role == "seed":
                values[index] = _scalar(item, seed)
        missing = [item.name for item, value in zip(self.plan.inputs, values, strict=True) if value is None]
        if missing:
            raise InvalidConfig(
                f"client_config: the plan needs {missing[0]}, which has no default", field=missing[0]
            )
        return [value for value in values if value is not None]

    def settled(self) -> dict[int, torch.Tensor]:
        """By place, what is not drawn or taken of the rows: the model, options and states."""
        return {
            index: value
            for index, (item, value) in enumerate(zip(self.plan.inputs, self.values, strict=True))
            if value is not None and item.role not in ("data", "target", "seed", "noise")
        }

    def _carry(self) -> list[tuple[int, int]]:
        """Output → the input that takes it in the next step."""
        pairs = []
        for role in CARRIED:
            found = [index for index, item in enumerate(self.plan.outputs) if item.role == role]
            places = self._where(role)
            if found and len(found) != len(places):
                raise InvalidPlan(
                    f"the plan takes {len(places)} inputs of role {role} and returns {len(found)}"
                )
            pairs += list(zip(found, places, strict=False))
        return pairs

    def model(self) -> list[torch.Tensor]:
        """The model's tensors as they are now, in the model's order."""
        return [value for i in self._places if (value := self.values[i]) is not None]


def _default(item: Input) -> torch.Tensor | None:
    """What an input is before anybody says: the plan's default; an optimiser's state begins at zero."""
    if item.default is not None:
        return const_tensor(item.default)
    if item.role == "state" and all(isinstance(size, int) for size in item.shape):
        return torch.zeros(item.shape, dtype=DTYPES[item.dtype])
    return None


def _classes(item: Input) -> int:
    """How many classes a target has as columns, if those are classes; 0 where that number is not fixed."""
    return item.shape[-1] if item.shape and isinstance(item.shape[-1], int) else 0


def _check_shape(item: Input, values: torch.Tensor) -> None:
    wanted = ["N", *(format_expr(size) for size in item.shape[1:])]
    fits = values.ndim == len(item.shape) and all(
        not isinstance(size, int) or size == found
        for size, found in zip(item.shape[1:], values.shape[1:], strict=True)
    )
    if fits:
        return
    remedy = ""
    if wanted[1:] == ["1"] and values.ndim == 1:
        remedy = f": hand over {item.name}.reshape(-1, 1), or let the plan take one number a row"
    elif len(wanted) == 1 and values.ndim == 2 and values.shape[1] == 1:
        remedy = f": hand over {item.name}.reshape(-1), or let the plan take one column"
    raise InvalidTensors(
        f"{item.name}: the plan takes [{', '.join(wanted)}], the data are "
        f"[{', '.join(['N', *map(str, values.shape[1:])])}]{remedy}"
    )


def _converted(item: Input, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """In ``dtype``; a fraction for whole numbers, or a number that is too large, is refused and not rounded."""
    made = values.to(dtype)
    if values.is_floating_point() and dtype.is_floating_point:
        exact = bool((made.isfinite() | ~values.isfinite()).all())
        if values.dtype is torch.float64 and dtype is torch.float32 and len(values):
            lost = torch.from_numpy(lost_in_single(values.detach().cpu().numpy()))
            exact = exact and not bool((lost & values.cpu().isfinite()).any())
    else:
        exact = bool((made.to(values.dtype) == values).all())
    if not exact:
        raise InvalidPlan(
            f"{item.name}: the plan takes {item.dtype}, which does not hold all values of the data "
            f"({str(values.dtype).removeprefix('torch.')}) as they are",
            reason=VALUES,
        )
    return made


def _only(plan: Plan, role: str) -> tuple[int, Input]:
    found = [(index, item) for index, item in enumerate(plan.inputs) if item.role == role]
    if len(found) != 1:
        raise InvalidPlan(
            f"the plan has {len(found)} inputs of role {role}: pass train= to job.run and call it yourself"
        )
    return found[0]


def _scalar(item: Input, value: Any) -> torch.Tensor:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidConfig(f"client_config: {item.name} is {value!r}, a number is needed", field=item.name)
    if any(size != 1 for size in item.shape):
        raise InvalidConfig(f"client_config: {item.name} of the plan is no single number", field=item.name)
    return torch.full([1] * len(item.shape), value, dtype=DTYPES[item.dtype])
