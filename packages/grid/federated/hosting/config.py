"""Server and client configuration of a training, typed: every field acts as named or is refused.

The fields are those of the paper's listing 6 and of model-centric FL in PyGrid 0.5; what each one means
*here* stands beside it. A configuration that could never be honoured (a goal above the admission cap without
a timer, say) is refused when the training is hosted, not discovered when it hangs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from grid.federated.hosting.authentication import Authentication, check_authentication
from grid.federated.hosting.secure_sums import SECURE_SUM, SecureSums, rules_of
from syft_ext.errors import InvalidConfig
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.secure_aggregation.rules import SumRules

__all__ = ["SEALED", "ClientConfig", "ConfidentialChoice", "ServerConfig", "StrategyChoice"]

SEALED = "sealed"
"""The report format of confidential trainings, and of no others."""

OVER_SELECTION = 1.3
"""Slots per cycle for each report wanted, when ``max_workers`` does not say: some workers never report."""

UNBOUNDED_CAP = 100_000
"""The admission cap of a cycle that has neither ``max_workers`` nor a number of reports to aim at."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Speed = Annotated[float, msgspec.Meta(ge=0)]


class StrategyChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strategy and what is set of it; what is not has the strategy's own default."""

    name: str
    parameters: dict[str, Any] = {}


class ConfidentialChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a training is confidential, and under which terms: these are part of what participants agree to.

    ``policy``: the :class:`~syft_ext.confidential.policy.ConfidentialPolicy`, canonical and signed by its scope's
    owner, in base64.
    """

    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=400_000)]


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the server runs a training."""

    num_cycles: _Count = 0
    """Exactly so many cycles are completed; 0 = until somebody cancels."""
    cycle_length: _Seconds | None = None
    """Seconds after which a timer closes the cycle; absent = no time limit."""
    max_diffs: _Positive | None = None
    """The goal: the cycle closes when so many reports are accepted, and never holds more."""
    min_diffs: _Positive | None = None
    """Fewer reports than this (default 1) are not averaged when the time is up: the cycle is extended."""
    min_workers: _Positive | None = None
    """Nobody gets an assignment before so many distinct eligible workers have checked in for the cycle."""
    max_workers: _Positive | None = None
    """Hard cap on the slots of a cycle. Default: 1.3 times the goal, rounded up, and at least ``min_workers``."""
    pool_selection: Literal["random", "iterate"] = "iterate"
    """Who gets a slot when several wait: ``iterate`` = order of arrival, ``random`` = a uniform draw."""
    do_not_reuse_workers_until_cycle: _Count = 0
    """N: a worker whose report was accepted in cycle k gets no assignment in cycles k+1 … k+N."""
    minimum_upload_speed: _Speed | None = None
    """KB/s (1 KB = 1000 bytes) a worker must state at check-in; absent or 0 = no requirement."""
    minimum_download_speed: _Speed | None = None
    """As ``minimum_upload_speed``, for the other direction."""
    iterative_plan: bool = False
    """The hosted averaging plan is called once per report (avg, item, num), else once with all reports."""
    authentication: Authentication | None = None
    """What a worker's token must satisfy; absent = anybody may take part."""

    aggregator: str | StrategyChoice = "mean"
    """Aggregation strategy when no averaging plan is hosted (:mod:`grid.aggregation.strategies`): its name, or
    ``{"name": …, "parameters": {…}}``."""
    weighting: Literal["samples", "none"] = "none"
    """``samples``: each report counts by its ``metrics.samples``, which is then compulsory."""
    report_format: _Name = "plain"
    """What reports look like (:mod:`grid.federated.intake`): of installed packages, too."""
    report_options: dict[str, Any] = {}
    """What that format has to know, JSON values; workers are told them."""
    secure_aggregation: SecureSums | None = None
    """Reports are masked, so that this node sees their sum alone (:mod:`syft_ext.secure_aggregation`). Its
    rules become the ``report_options``, and the ``report_format`` is that of masked reports."""
    confidential: ConfidentialChoice | None = None
    """Nothing but sealed reports is taken, and they are summed where nobody looks (:mod:`grid.confidential`)."""
    assignment_timeout: _Seconds = 900.0
    """Seconds a worker may hold a slot without reporting; then the slot goes to another worker."""
    max_extensions: _Count | None = None
    """How often a cycle without ``min_diffs`` reports is given another ``cycle_length`` before the training
    fails; absent = always."""

    @property
    def goal(self) -> int | None:
        """Reports that close a cycle before its time; None = only the timer closes it."""
        if self.max_diffs is not None:
            return self.max_diffs
        if self.cycle_length is not None:
            return self.max_workers
        return self.min_diffs or 1

    @property
    def cap(self) -> int:
        """Slots of one cycle."""
        if self.max_workers is not None:
            return self.max_workers
        wanted = UNBOUNDED_CAP if self.goal is None else math.ceil(self.goal * OVER_SELECTION)
        return max(wanted, self.min_workers or 1, self.min_diffs or 1)

    @property
    def strategy(self) -> StrategyChoice:
        """``aggregator``, however it was spelled."""
        return StrategyChoice(name=self.aggregator) if isinstance(self.aggregator, str) else self.aggregator

    @property
    def requires_speed_test(self) -> bool:
        """Whether workers must say how fast their connection is before they are assigned anything."""
        return bool(self.minimum_upload_speed or self.minimum_download_speed)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> ServerConfig:
        """Check ``values`` as they came from outside. Raises :class:`InvalidConfig` naming the field."""
        try:
            config = msgspec.convert(dict(values), cls)
        except msgspec.ValidationError as error:
            told = misfit_in_words(error, cls)
            raise InvalidConfig(f"server_config: {told}", field=_field(str(error))) from error
        try:
            msgspec.msgpack.encode(
                config
            )  # JSON has numbers that messages and the definition's digest have not
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidConfig(f"server_config: {error}", field="") from error
        config = _sealed(config)
        _check_consistent(config)
        if config.authentication is not None:
            check_authentication(config.authentication)
        return _with_rules(config)

    @property
    def sums(self) -> SumRules | None:
        """The rules of secure aggregation, as this training was hosted with them; None: its reports are seen."""
        return None if self.secure_aggregation is None else msgspec.convert(self.report_options, SumRules)

    def public(self) -> dict[str, Any]:
        """The configuration without secrets, for answers."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        if self.authentication is not None:
            values["authentication"] = self.authentication.public()
        return values


def _sealed(config: ServerConfig) -> ServerConfig:
    """Confidential trainings have sealed reports, and sealed reports are those of confidential trainings."""
    if config.confidential is None:
        if config.report_format == SEALED:
            raise _refuse(
                "confidential", "sealed reports are those of a confidential training: name its policy"
            )
        return config
    if config.report_format not in (SEALED, "plain"):
        raise _refuse("report_format", "a confidential training takes sealed reports and no others")
    return msgspec.structs.replace(config, report_format=SEALED)


def _field(message: str) -> str:
    found = re.search(r"unknown field `([^`]*)`", message) or re.search(r"at `\$\.([^`]*)`", message)
    return found.group(1) if found else ""


def _refuse(field: str, reason: str) -> InvalidConfig:
    return InvalidConfig(f"server_config: {reason} - at `$.{field}`", field=field)


def _with_rules(config: ServerConfig) -> ServerConfig:
    """The configuration with the rules of its secure aggregation, if it asks for that."""
    asked = config.secure_aggregation
    if asked is None:
        return config
    if config.report_format not in ("plain", SECURE_SUM) or config.report_options:
        raise _refuse("report_format", "secure_aggregation has reports of its own, with options of its own")
    rules = rules_of(asked, config.goal, config.min_diffs, weighted=config.weighting == "samples")
    return msgspec.structs.replace(
        config, report_format=SECURE_SUM, report_options=msgspec.to_builtins(rules), min_diffs=rules.minimum
    )


def _check_consistent(config: ServerConfig) -> None:
    cap = config.cap
    if config.min_diffs and config.max_diffs and config.min_diffs > config.max_diffs:
        raise _refuse("min_diffs", f"min_diffs {config.min_diffs} is above max_diffs {config.max_diffs}")
    if config.min_workers and config.min_workers > cap:
        raise _refuse("min_workers", f"min_workers {config.min_workers} is above max_workers {cap}")
    if config.min_diffs and config.min_diffs > cap:
        raise _refuse("min_diffs", f"{config.min_diffs} reports cannot come from max_workers {cap}")
    if config.cycle_length is None and config.goal is not None and config.goal > cap:
        raise _refuse(
            "max_diffs",
            f"{config.goal} reports cannot come from max_workers {cap}, and no cycle_length ends it",
        )
    if config.max_extensions is not None and config.cycle_length is None:
        raise _refuse("max_extensions", "without cycle_length there is nothing to extend")


class ClientConfig(msgspec.Struct, frozen=True):
    """What the workers are told: ``name`` and ``version`` of the training, and any JSON values beside."""

    name: str
    version: str
    values: dict[str, Any]

    MAX_BYTES = 64 << 10

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> ClientConfig:
        """Check ``values`` as they came from outside. Raises :class:`InvalidConfig` naming the field."""
        for field, limit in (("name", 128), ("version", 64)):
            value = values.get(field)
            if not isinstance(value, str):
                raise InvalidConfig(
                    f"client_config: {field} is required, as text - at `$.{field}`", field=field
                )
            if not 0 < len(value) <= limit or not value.isprintable() or value != value.strip():
                raise InvalidConfig(
                    f"client_config: 1 to {limit} printable characters - at `$.{field}`", field=field
                )
        try:
            encoded = msgspec.json.encode(dict(values))
            plain = msgspec.json.decode(encoded)
            # JSON has numbers that messages and the definition's digest have not.
            msgspec.msgpack.encode(plain)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidConfig(
                f"client_config: not expressible as JSON with numbers of 64 bits: {error}", field=""
            ) from error
        if len(encoded) > cls.MAX_BYTES:
            raise InvalidConfig(f"client_config: {len(encoded)} bytes, limit {cls.MAX_BYTES}", field="")
        return cls(values["name"], values["version"], plain)
