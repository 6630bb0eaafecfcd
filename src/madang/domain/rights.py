"""Who may do what: the one table of rights.

A right is given by how somebody is tied to the object in question, and, where a token is limited to some scopes, by the
scope of the right. Repositories show what a caller has the right to see, and services ask for the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a token can be limited to."""

    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    SESSIONS_ENTER = "sessions:enter"
    CLUSTER_READ = "cluster:read"
    CLUSTER_WRITE = "cluster:write"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    ACCOUNT = "account"
    USAGE_READ = "usage:read"
    AUDIT_READ = "audit:read"


class Tie(StrEnum):
    """How somebody is tied to an object; the object of a right over a domain or a project is that itself."""

    ANYBODY = "anybody signed in"
    SELF = "its owner"
    VIEW = "shared to view"
    USE = "shared to use"
    VIEWER = "project viewer"
    MEMBER = "project member"
    MAINTAINER = "project maintainer"
    OWNER = "project owner"
    FELLOW = "same domain"
    DOMAIN_ADMIN = "domain administrator"
    ADMIN = "administrator"


class Right(StrEnum):
    """What can be done."""

    SESSION_CREATE = "session.create"
    SESSION_SEE = "session.see"
    SESSION_READ = "session.read"
    SESSION_ENTER = "session.enter"
    SESSION_STOP = "session.stop"
    SESSION_SHARE = "session.share"
    CLUSTER_SEE = "cluster.see"
    CLUSTER_CHANGE = "cluster.change"
    SITE_CHANGE = "site.change"
    DOMAIN_SEE = "domain.see"
    DOMAIN_CHANGE = "domain.change"
    PROJECT_SEE = "project.see"
    PROJECT_CREATE = "project.create"
    PROJECT_CHANGE = "project.change"
    PROJECT_PEOPLE = "project.people"
    USER_SEE = "user.see"
    USER_CHANGE = "user.change"
    ACCOUNT_CHANGE = "account.change"
    POLICY_CHANGE = "policy.change"
    USAGE_SEE = "usage.see"
    AUDIT_SEE = "audit.see"
    AUDIT_KEEP = "audit.keep"
    PRICE_CHANGE = "price.change"
    BUDGET_SEE = "budget.see"
    BUDGET_CHANGE = "budget.change"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    what: str
    scope: Scope
    ties: frozenset[Tie]


def _rule(what: str, scope: Scope, *ties: Tie) -> Rule:
    return Rule(what, scope, frozenset(ties))


_IN_PROJECT: Final = (Tie.VIEWER, Tie.MEMBER, Tie.MAINTAINER, Tie.OWNER)

RIGHTS: Final[Mapping[Right, Rule]] = {
    Right.SESSION_CREATE: _rule(
        "start a session in a project", Scope.SESSIONS_WRITE, Tie.MEMBER, Tie.MAINTAINER, Tie.OWNER
    ),
    Right.SESSION_SEE: _rule(
        "see that a session is there: its name, state, slots and why it waits",
        Scope.SESSIONS_READ,
        *(Tie.SELF, Tie.VIEW, Tie.USE, Tie.MAINTAINER, Tie.OWNER, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    ),
    Right.SESSION_READ: _rule(
        "read its command, variables, output, files and statistics",
        Scope.SESSIONS_READ,
        *(Tie.SELF, Tie.VIEW, Tie.USE, Tie.ADMIN),
    ),
    Right.SESSION_ENTER: _rule(
        "run processes in it, change its files, open its apps", Scope.SESSIONS_ENTER, Tie.SELF, Tie.USE, Tie.ADMIN
    ),
    Right.SESSION_STOP: _rule(
        "stop it, and delete it when it has ended",
        Scope.SESSIONS_WRITE,
        *(Tie.SELF, Tie.MAINTAINER, Tie.OWNER, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    ),
    Right.SESSION_SHARE: _rule("share it with others", Scope.SESSIONS_WRITE, Tie.SELF, Tie.ADMIN),
    Right.CLUSTER_SEE: _rule("see nodes, environments and resource groups", Scope.CLUSTER_READ, Tie.ANYBODY),
    Right.CLUSTER_CHANGE: _rule(
        "change nodes, resource groups, reservations and presets", Scope.CLUSTER_WRITE, Tie.ADMIN
    ),
    Right.SITE_CHANGE: _rule("announce something, and switch maintenance on and off", Scope.CLUSTER_WRITE, Tie.ADMIN),
    Right.DOMAIN_SEE: _rule("see a domain", Scope.PEOPLE_READ, Tie.FELLOW, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    Right.DOMAIN_CHANGE: _rule("make, change and delete domains", Scope.PEOPLE_WRITE, Tie.ADMIN),
    Right.PROJECT_SEE: _rule(
        "see a project and who is in it", Scope.PEOPLE_READ, *_IN_PROJECT, Tie.DOMAIN_ADMIN, Tie.ADMIN
    ),
    Right.PROJECT_CREATE: _rule(
        "make and delete projects of a domain", Scope.PEOPLE_WRITE, Tie.DOMAIN_ADMIN, Tie.ADMIN
    ),
    Right.PROJECT_CHANGE: _rule(
        "change what a project is called", Scope.PEOPLE_WRITE, Tie.OWNER, Tie.DOMAIN_ADMIN, Tie.ADMIN
    ),
    Right.PROJECT_PEOPLE: _rule(
        "add, invite and remove people of a project, and make its tokens",
        Scope.PEOPLE_WRITE,
        *(Tie.OWNER, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    ),
    Right.USER_SEE: _rule("see an account", Scope.PEOPLE_READ, Tie.SELF, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    Right.USER_CHANGE: _rule(
        "make, change, disable and delete accounts of a domain", Scope.PEOPLE_WRITE, Tie.DOMAIN_ADMIN, Tie.ADMIN
    ),
    Right.ACCOUNT_CHANGE: _rule("change one's own password, second factor, tokens and keys", Scope.ACCOUNT, Tie.SELF),
    Right.POLICY_CHANGE: _rule("make policies and give them to somebody", Scope.PEOPLE_WRITE, Tie.ADMIN),
    Right.USAGE_SEE: _rule("see what was used", Scope.USAGE_READ, Tie.SELF, Tie.OWNER, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    Right.AUDIT_SEE: _rule("see who changed what", Scope.AUDIT_READ, Tie.DOMAIN_ADMIN, Tie.ADMIN),
    Right.AUDIT_KEEP: _rule("say for how long it is kept who changed what", Scope.CLUSTER_WRITE, Tie.ADMIN),
    Right.PRICE_CHANGE: _rule("set prices", Scope.CLUSTER_WRITE, Tie.ADMIN),
    Right.BUDGET_SEE: _rule(
        "see the budget of a project and what it has spent", Scope.USAGE_READ, Tie.OWNER, Tie.DOMAIN_ADMIN, Tie.ADMIN
    ),
    Right.BUDGET_CHANGE: _rule("set the budget of a project", Scope.PEOPLE_WRITE, Tie.DOMAIN_ADMIN, Tie.ADMIN),
}


def gives(right: Right, ties: Collection[Tie]) -> bool:
    """Whether any of these ties gives the right."""
    return not RIGHTS[right].ties.isdisjoint(ties)
