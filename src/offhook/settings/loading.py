"""Where values come from: default, TOML file, environment, flag; the later one wins.

A key that nobody declared refuses to start and suggests the nearest one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from offhook.domain.errors import MisconfiguredError
from offhook.settings.areas import Given, Settings
from offhook.settings.declaration import ByFamily, Declared

ENVIRONMENT = "OFFHOOK_"
_SUGGESTED = 3
SEPARATOR = "__"
_DATABASES = ("postgresql", "postgres", "postgresql+psycopg")
# Environment variables of the command line, which are no settings.
_NO_SETTINGS = ("OFFHOOK_URL", "OFFHOOK_TOKEN", "OFFHOOK_DATA")


def declarations() -> dict[str, Declared]:
    """Every setting, by its whole name, in the order in which they are declared."""
    return {f"{area}.{name}": declared for area, kind in _areas().items() for name, declared in _of_area(kind).items()}


def load_settings(*, data: Path, config: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """All settings. `config` defaults to `<data>/offhook.toml`, which need not be there.

    Raises MisconfiguredError naming the key, its value, where it came from, and what it may be.
    """
    known = declarations()
    given = {name: Given(declared.default, "default") for name, declared in known.items()}
    file = config or data / "offhook.toml"
    for source, texts in (
        (str(file), _from_file(file, required=config is not None)),
        ("environment", _from_environment(environ)),
        ("flag", dict(flags)),
    ):
        for key, text in texts.items():
            _check_known(key, source, known)
            given[key] = Given(text, source)
    values = {key: _value(_declared(key, known), one, key) for key, one in given.items()}
    areas: dict[str, Any] = {area: kind(**_of(area, values, known)) for area, kind in _areas().items()}
    settings = Settings(**areas, given=given)
    _check_together(settings)
    return settings


def _areas() -> dict[str, type[msgspec.Struct]]:
    return {name: kind for name, kind in get_type_hints(Settings).items() if name != "given"}


def _of_area(kind: type[msgspec.Struct]) -> dict[str, Declared]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: next(one for one in hint.__metadata__ if isinstance(one, Declared)) for name, hint in hints.items()}


def _of(area: str, values: Mapping[str, Any], known: Mapping[str, Declared]) -> dict[str, Any]:
    """The values of one area, by field."""
    found: dict[str, Any] = {}
    for name, declared in known.items():
        if name.startswith(f"{area}."):
            value = values[name]
            found[name.removeprefix(f"{area}.")] = (
                ByFamily(value, _families(name, values)) if declared.by_family else value
            )
    return found


def _families(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}


def _value(declared: Declared, given: Given, key: str) -> Any:
    try:
        return declared.read(given.text)
    except (ValueError, OverflowError) as error:
        raise MisconfiguredError(
            f"The setting {key} ({given.source}) is {given.text!r}, which is no {declared.kind}: {error}.", field=key
        ) from None


def _declared(key: str, known: Mapping[str, Declared]) -> Declared:
    return known.get(key) or known[key.rpartition(".")[0]]


def _check_known(key: str, source: str, known: Mapping[str, Declared]) -> None:
    parent = known.get(key.rpartition(".")[0])
    if key in known or (parent is not None and parent.by_family):
        return
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    raise MisconfiguredError(
        f"There is no setting {key} ({source}). Did you mean {near[0]}? docs/reference/settings.md lists them.",
        field=key,
    )


def _from_file(file: Path, *, required: bool) -> dict[str, str]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise MisconfiguredError(f"There is no file {file}. Check --config.", field="config") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MisconfiguredError(f"{file} cannot be read: {error}.", field="config") from None
    return dict(_flat(content, ""))


def _flat(table: Mapping[str, Any], start: str) -> list[tuple[str, str]]:
    """`[delivery] timeout = "5s"` is delivery.timeout; a table below a setting is by family, `default` its own."""
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        key = f"{start}{name}"
        if isinstance(value, dict):
            found += _flat(value, f"{key}.")
        else:
            found.append((key.removesuffix(".default"), _text(value)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(_text(item) for item in value) if isinstance(value, list) else str(value)


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    for name in environ:
        if name.startswith(ENVIRONMENT) and SEPARATOR not in name and name not in _NO_SETTINGS:
            _check_meant(name)
    return {
        name.removeprefix(ENVIRONMENT).lower().replace(SEPARATOR, "."): text
        for name, text in environ.items()
        if name.startswith(ENVIRONMENT) and SEPARATOR in name and name not in _NO_SETTINGS
    }


def _check_meant(name: str) -> None:
    """Somebody who writes the name of an area, or of a setting without its area, means a setting.

    Raises MisconfiguredError. Other names are other programs'.
    """
    said = name.removeprefix(ENVIRONMENT).lower()
    meant = [key for key in declarations() if said in (key.partition(".")[0], key.partition(".")[2])]
    if meant:
        variables = [ENVIRONMENT + key.replace(".", SEPARATOR).upper() for key in meant[:_SUGGESTED]]
        raise MisconfiguredError(
            f"{name} (environment) is no setting. Did you mean {' or '.join(variables)}?", field=said
        )


def _check_together(settings: Settings) -> None:
    _check_database(settings.database.url)
    switch = settings.switch
    if switch.rtp_last <= switch.rtp_first:
        raise MisconfiguredError("switch.rtp_last must be larger than switch.rtp_first.", field="switch.rtp_last")
    if switch.asterisk_url and not switch.asterisk_user:
        raise MisconfiguredError(
            "switch.asterisk_url needs switch.asterisk_user and switch.asterisk_password_file.",
            field="switch.asterisk_user",
        )
    if switch.asterisk_url and not switch.asterisk_password_file:
        raise MisconfiguredError(
            f"switch.asterisk_url needs switch.asterisk_password_file: a file with the ARI password of "
            f"{switch.asterisk_user}.",
            field="switch.asterisk_password_file",
        )


def _check_database(url: str) -> None:
    """The rest of the URL is looked at when the database is opened. It is not shown: there may be a password in it."""
    scheme, separator, _ = url.partition("://")
    if not url or (separator and scheme in _DATABASES):
        return
    given = f"is of {scheme}" if separator and scheme.replace("+", "").isalnum() else "is no URL"
    raise MisconfiguredError(
        f"database.url {given}. Offhook keeps its data in PostgreSQL, with a URL such as "
        "postgresql://offhook:password@db.example.com/offhook, or, where none is set, in SQLite in the data folder.",
        field="database.url",
    )
