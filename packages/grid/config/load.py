"""Where a setting comes from: defaults < flags of earlier starts < TOML file < ``GRID_*`` environment < flags.

Unknown keys are refused.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from grid.config.fields import Field, setting_fields
from grid.config.settings import NodeSettings
from syft_ext.errors import InvalidConfig

__all__ = ["FILE_NAME", "Resolved", "environment_name", "resolve"]

FILE_NAME = "grid.toml"
MASK = "********"

#: ``GRID_*`` variables that are no settings of a node: first owner, the CLI as a client, the install scripts.
OTHER_VARIABLES = frozenset(
    {"GRID_OWNER_EMAIL", "GRID_OWNER_PASSWORD", "GRID_OWNER_PASSWORD_FILE", "GRID_HOME", "GRID_CONFIG"}
    | {"GRID_URL", "GRID_EMAIL", "GRID_PASSWORD", "GRID_PASSWORD_FILE", "GRID_CREDENTIALS"}
    | {"GRID_TOTP", "GRID_NEW_PASSWORD", "GRID_NEW_PASSWORD_FILE"}
    | {"GRID_PYTHON", "GRID_VENV", "GRID_USER_HOME", "GRID_TORCH", "GRID_TORCH_INDEX"}
)
OTHER_PREFIXES = ("GRID_TEST_", "GRID_DEMO_", "GRID_BENCH_")


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings and where each came from: "default", "remembered --name", "file PATH", "env NAME", "flag --name".

    Attributes:
        flags: what was given on the command line, as it acts: what a later start remembers.
    """

    kind: str
    settings: NodeSettings
    origin: dict[str, str]
    flags: dict[str, Any] = dataclasses.field(default_factory=dict)

    def shown(self) -> list[dict[str, Any]]:
        """Name, value (secrets masked), origin and description of every setting, for people to read."""
        return [
            {
                "name": field.name,
                "value": _shown(field, getattr(self.settings, field.name)),
                "origin": self.origin[field.name],
                "description": field.description,
            }
            for field in setting_fields(type(self.settings)).values()
        ]


def _shown(field: Field, value: Any) -> Any:
    return MASK if field.secret and value else value


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"GRID_{name.upper()}"


def resolve(
    kind: str,
    settings: type[NodeSettings],
    *,
    others: Iterable[type[NodeSettings]] = (),
    file: Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    remembered: Mapping[str, Any] | None = None,
) -> Resolved:
    """Settings of a node from all of these places.

    Args:
        kind: which kind of node it is.
        settings: which settings that kind has.
        others: the settings of other kinds, whose variables may stand in the environment too.
        file: the TOML file; it must exist when given.
        env: the environment; ``NAME_FILE`` gives a secret by the path of a file that holds it.
        flags: the flags that were given on the command line, by setting name.
        remembered: those of earlier starts; what stands in any other place counts before them.

    Raises :class:`InvalidConfig` naming the key and where it stands: unknown, wrongly typed, out of range.
    """
    fields = setting_fields(settings)
    values: dict[str, Any] = {}
    origin = dict.fromkeys(fields, "default")
    for source, found in (
        *_from_flags(fields, remembered or {}, "remembered"),
        *_from_file(fields, file),
        *_from_environment(fields, env or {}, [settings, *others]),
        *_from_flags(fields, flags or {}),
    ):
        name, value = found
        values[name], origin[name] = _convert(settings, name, value, source), source
    return Resolved(kind, settings(**values), origin, {name: values[name] for name in flags or {}})


Found = tuple[str, tuple[str, Any]]


def _from_file(fields: Mapping[str, Field], file: Path | None) -> list[Found]:
    if file is None:
        return []
    try:
        table = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"{file}: {error}") from error
    result: list[Found] = []
    for key, value in table.items():
        if (
            key not in fields
            and key.removesuffix("_file") in fields
            and fields[key.removesuffix("_file")].secret
        ):
            result.append((f"file {value}", (key.removesuffix("_file"), _read_secret(str(value)))))
            continue
        if key not in fields:
            raise InvalidConfig(f"{file}: unknown key {key!r}{_closest(key, fields)}", key=key)
        result.append((f"file {file}", (key, value)))
    return result


def _from_environment(
    fields: Mapping[str, Field], env: Mapping[str, str], known: Iterable[type[NodeSettings]]
) -> list[Found]:
    result: list[Found] = []
    for field in fields.values():
        for variable in (field.env, environment_name(field.name)):
            if variable and variable in env:
                result.append((f"env {variable}", (field.name, _from_text(field, env[variable]))))
            if field.secret and f"{variable}_FILE" in env:
                path = env[f"{variable}_FILE"]
                result.append((f"env {variable}_FILE", (field.name, _read_secret(path))))
    _refuse_unknown_variables(env, known)
    return result


def _refuse_unknown_variables(env: Mapping[str, str], settings: Iterable[type[NodeSettings]]) -> None:
    """A variable of another app is fine (one shell, three nodes); one that no app has is a mistake."""
    known = {
        f"{environment_name(field.name)}{suffix}"
        for each in settings
        for field in setting_fields(each).values()
        for suffix in (("", "_FILE") if field.secret else ("",))
    }
    for variable in env:
        if not variable.startswith("GRID_") or variable in known or variable in OTHER_VARIABLES:
            continue
        if not variable.startswith(OTHER_PREFIXES):
            raise InvalidConfig(f"environment: unknown variable {variable}{_closest(variable, known)}")


def _from_flags(fields: Mapping[str, Field], flags: Mapping[str, Any], source: str = "flag") -> list[Found]:
    result: list[Found] = []
    for name, value in flags.items():
        if name not in fields:
            raise InvalidConfig(f"unknown flag --{name.replace('_', '-')}")
        if fields[name].secret:
            raise InvalidConfig(
                f"{name} is a secret: give it as {environment_name(name)}, {environment_name(name)}_FILE or "
                "in the settings file, not where every user of this machine can read it"
            )
        result.append((f"{source} --{name.replace('_', '-')}", (name, value)))
    return result


def _from_text(field: Field, text: str) -> Any:
    return [item.strip() for item in text.split(",") if item.strip()] if field.is_list else text


def _read_secret(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"the secret file {path} cannot be read: {type(error).__name__}") from error


def _convert(settings: type[NodeSettings], name: str, value: Any, source: str) -> Any:
    """``value`` as the type of the setting; text from the environment may stand for numbers and booleans."""
    try:
        return getattr(msgspec.convert({name: value}, settings, strict=not source.startswith("env")), name)
    except msgspec.ValidationError as error:
        reason = re.sub(r" - at `\$\.\w+`$", "", str(error))
        raise InvalidConfig(f"{source}: {name}: {reason}", key=name) from error


def _closest(name: str, known: Any) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
