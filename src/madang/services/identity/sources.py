"""The other systems that people sign in with, as `sign-in.toml` sets them up."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from madang.domain.errors import StartupError
from madang.domain.ids import Clock
from madang.domain.names import NAME_PATTERN, PATH_PATTERN
from madang.domain.people import DEFAULT_DOMAIN, ProjectRole
from madang.schemas.sign_in import SignInSource
from madang.services.identity.base import GroupRule, PasswordSource
from madang.services.identity.oidc import OidcSettings, OidcSource

FILE_NAME: Final = "sign-in.toml"

Kind = Literal["ldap", "oidc"]
S = TypeVar("S")

_KINDS: Final[tuple[Kind, ...]] = ("ldap", "oidc")
_SECRETS: Final = ("bind_password", "client_secret")
_TAKEN: Final = "password"  # what the audit calls sign-in without any other system
_AT_MOST: Final = 65_536


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid")

    group: Annotated[str, Field(min_length=1)]
    project: Annotated[str, Field(pattern=PATH_PATTERN)]
    role: ProjectRole = ProjectRole.MEMBER


class _Common(BaseModel):
    """What tables of all kinds have besides the settings of the source itself."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: Annotated[str, Field(max_length=80)] = ""
    create: bool = True
    domain: Annotated[str, Field(pattern=NAME_PATTERN)] = DEFAULT_DOMAIN
    device: bool = True
    groups: list[_Group] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What is done here with the people of a source.

    Attributes:
        title: what people see on the sign-in page.
        create: whether somebody who has no account here gets one.
        domain: that new accounts are made in.
        device: whether terminals without a browser may use it; of OpenID Connect only.
        groups: which groups of that system give which place in a project.
    """

    name: str
    kind: Kind
    title: str
    create: bool = True
    domain: str = DEFAULT_DOMAIN
    device: bool = False
    groups: tuple[GroupRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """All that are set up. `passwords` are asked in this order; `openid` and `rules` are by name."""

    passwords: Sequence[PasswordSource] = ()
    openid: Mapping[str, OidcSource] = field(default_factory=dict)
    rules: Mapping[str, SourceRules] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, clock: Clock) -> Sources:
        """Those that a file sets up; none when there is no such file.

        Raises StartupError naming the file, the table and the field of a mistake, and when others can read a secret.
        """
        tables = _read(path)
        passwords: list[PasswordSource] = []
        openid: dict[str, OidcSource] = {}
        rules: dict[str, SourceRules] = {}
        for kind, place, table in tables:
            common = _common(table, place)
            if common.name in rules or common.name == _TAKEN:
                raise StartupError(f"{place}: name: '{common.name}' is taken. Give every table a name of its own.")
            rest = {**(common.model_extra or {}), "name": common.name}
            if kind == "ldap":
                passwords.append(_ldap(rest, place))
            else:
                openid[common.name] = _made(
                    lambda settings: OidcSource(settings, clock), _settings(OidcSettings, rest, place), place
                )
            rules[common.name] = SourceRules(
                common.name,
                kind,
                common.title or common.name,
                common.create,
                common.domain,
                kind == "oidc" and common.device,
                tuple(GroupRule(one.group, one.project, one.role) for one in common.groups),
            )
        return cls(passwords, openid, rules)

    def ways(self) -> Sequence[SignInSource]:
        """All of them, as people choose among them."""
        return [
            SignInSource(name=one.name, title=one.title, kind=one.kind, device=one.device)
            for one in self.rules.values()
        ]

    async def close(self) -> None:
        """End what they have open."""
        for source in self.passwords:
            await source.close()
        for provider in self.openid.values():
            await provider.close()


def _read(path: Path) -> list[tuple[Kind, str, Mapping[str, Any]]]:
    """The tables of a file, each with its kind and how people find it."""
    try:
        text = _text(path)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{path} cannot be read: {error}.") from error
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StartupError(f"{path} is no TOML: {error}.") from error
    tables: list[tuple[Kind, str, Mapping[str, Any]]] = []
    for name, listed in found.items():
        kind = next((one for one in _KINDS if one == name), None)
        if kind is None or not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise StartupError(f"{path}: '{name}' has no meaning there. Write tables [[ldap]] and [[oidc]].")
        tables += [(kind, f"{path}: [[{name}]] number {number}", one) for number, one in enumerate(listed, 1)]
    if any(table.get(secret) for _, _, table in tables for secret in _SECRETS):
        _require_private(path)
    return tables


def _common(table: Mapping[str, Any], place: str) -> _Common:
    try:
        return _Common.model_validate(table)
    except ValidationError as error:
        raise _mistake(error, place) from None


def _settings(kind: type[S], values: Mapping[str, Any], place: str) -> S:
    """The settings of a source from a table, with each `..._file` read. Raises StartupError."""
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, value in values.items():
        secret = name.removesuffix("_file")
        if secret in _SECRETS and secret != name and secret in hints:
            if values.get(secret):
                raise StartupError(f"{place}: give {secret} or {name}, not both.")
            given[secret] = _secret(value, f"{place}: {name}")
        elif name not in hints:
            raise StartupError(f"{place}: {name}: there is no such field. There are: {', '.join(sorted(hints))}.")
        else:
            try:
                given[name] = TypeAdapter(hints[name]).validate_python(value)
            except ValidationError as error:
                raise _mistake(error, f"{place}: {name}") from None
    for one in fields(kind):  # type: ignore[arg-type]
        if one.name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise StartupError(f"{place}: {one.name} is missing.")
    return kind(**given)


def _ldap(values: Mapping[str, Any], place: str) -> PasswordSource:
    module = import_module("madang.services.identity.ldap")  # an extra; says itself what is missing
    source: PasswordSource = _made(module.LdapSource, _settings(module.LdapSettings, values, place), place)
    return source


def _made(make: Callable[[S], Any], settings: S, place: str) -> Any:
    try:
        return make(settings)
    except StartupError as error:
        raise StartupError(f"{place}: {error.message}") from error


def _secret(value: object, place: str) -> str:
    path = Path(str(value))
    try:
        _require_private(path)
        return _text(path).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{place}: {path} cannot be read: {error}.") from error


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_AT_MOST).decode()


def _require_private(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StartupError(
            f"{path} holds a secret and can be read by other users of this machine. Run: chmod 600 {path}"
        )


def _mistake(error: ValidationError, place: str) -> StartupError:
    """The first mistake; the value is left out, which may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
    return StartupError(f"{place}: {where + ': ' if where else ''}{first['msg']}.")
