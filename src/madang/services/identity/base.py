"""What every source of accounts promises: who somebody is there, and in which groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from madang.domain.errors import Unauthorized
from madang.domain.people import ProjectRole

_WRONG = "The name or the password is wrong."

Reason = Literal["no such user", "more than one user", "wrong password", "disabled"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody as another system knows them.

    Attributes:
        source: the name under which that system is set up here, e.g. `lab-ldap`.
        subject: what they are called there for ever, also when the name changes; with `source` it names one person.
        name: what they sign in as; not yet checked to be a name of Madang's.
        email, full_name: empty where that system does not tell.
        email_verified: whether that system vouches for the address. Never join accounts by one that is not.
        groups: as that system names them.
    """

    source: str
    subject: str
    name: str
    email: str = ""
    full_name: str = ""
    groups: frozenset[str] = frozenset()
    email_verified: bool = False


class NotRecognised(Unauthorized):
    """Nobody was signed in. `message` tells a person no more than is safe; `reason` is for the log."""

    def __init__(self, reason: Reason, message: str = _WRONG) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class PasswordSource(Protocol):
    """A system that knows whether a password is right.

    It says the same, after about the same time, for a wrong password, a name that nobody has, and one that several
    have: otherwise strangers could ask for names.
    """

    @property
    def name(self) -> str:
        """The name under which it is set up here."""

    async def check(self, name: str, password: str) -> Identity:
        """Whose name and password these are. Raises NotRecognised; Unavailable when the system cannot be asked."""

    async def look_up(self, name: str) -> Identity | None:
        """Who has this name, without a password; None when nobody has or may sign in any more. Raises Unavailable."""

    async def find(self, subject: str) -> Identity | None:
        """Who this is by now, whatever the name; None when nobody is or may sign in any more. Raises Unavailable."""

    async def close(self) -> None:
        """End what it has open."""


@dataclass(frozen=True, slots=True)
class GroupRule:
    """Members of a group of another system are in a project, in a role."""

    group: str
    project: str
    role: ProjectRole = ProjectRole.MEMBER


_RANK = (ProjectRole.VIEWER, ProjectRole.MEMBER, ProjectRole.MAINTAINER, ProjectRole.OWNER)


def projects_of(groups: Iterable[str], rules: Iterable[GroupRule]) -> dict[str, ProjectRole]:
    """The projects that somebody of these groups is in, by name, each in the strongest role that a rule gives.

    Groups are compared without regard to capital letters, as directories do.
    """
    held = {group.casefold() for group in groups}
    found: dict[str, ProjectRole] = {}
    for rule in rules:
        if rule.group.casefold() in held:
            found[rule.project] = max(found.get(rule.project, rule.role), rule.role, key=_RANK.index)
    return found
