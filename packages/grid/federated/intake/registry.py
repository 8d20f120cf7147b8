"""The report formats that a training may declare: Grid's own, and those of installed packages."""

from __future__ import annotations

from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.ckks import CkksFormat
from grid.federated.intake.format import ReportFormat
from grid.federated.intake.plain import PlainFormat
from grid.federated.intake.sealed import SealedFormat
from grid.federated.intake.secure_sum import SecureSumFormat
from syft_ext.errors import InvalidConfig, Unavailable
from syft_ext.registry import Registry

__all__ = ["FORMATS", "GROUP", "check_format", "format_of"]

GROUP = "grid.report_formats"
_KIND_LENGTH = 8

FORMATS: Registry[ReportFormat] = Registry(
    "report format",
    GROUP,
    {each.name: each for each in (PlainFormat, SealedFormat, SecureSumFormat, CkksFormat)},
)


def format_of(server: ServerConfig) -> ReportFormat:
    """The format of the reports of a training that was hosted already.

    Raises :class:`Unavailable` where the package that brings it is not installed any more: it may come back.
    """
    try:
        return FORMATS.find(server.report_format)
    except InvalidConfig as error:
        raise Unavailable(f"the training's reports cannot be read here: {error.detail}") from error


def check_format(server: ServerConfig, has_plan: bool) -> None:
    """Raise :class:`InvalidConfig`, naming the field, for a training whose format is unknown, or does not fit it.

    Args:
        has_plan: an averaging plan is hosted.
    """
    try:
        found = FORMATS.find(server.report_format)
    except InvalidConfig as error:
        raise InvalidConfig(
            f"server_config: {error.detail} - at `$.report_format`", field="report_format"
        ) from error
    if found.name != server.report_format or any(len(kind) > _KIND_LENGTH for kind in found.kinds):
        raise InvalidConfig(
            f"the report format {server.report_format!r} of this node must have that name, and kinds of at most "
            f"{_KIND_LENGTH} characters; it has {found.name!r}, and {', '.join(found.kinds)}",
            field="report_format",
        )
    if has_plan and found.reveals == "sum":
        raise InvalidConfig(
            f"server_config: of reports of format {found.name!r} only the sum is seen: host no averaging plan - "
            "at `$.report_format`",
            field="report_format",
        )
    found.check_training(server)
