"""Who may use a resource group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from madang.domain.people import Caller


@dataclass(frozen=True, slots=True)
class Access:
    """Those to whom a resource group is open, by id: ids are never given anew, so who is made later under an old name
    gets nothing by it. A domain stands for its projects."""

    domains: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()

    def opens_for(self, user_id: str, project_id: str, domain_id: str) -> bool:
        """Whether a session of a user in a project of a domain may start in the group."""
        return user_id in self.users or project_id in self.projects or domain_id in self.domains

    def shows_to(self, caller: Caller) -> bool:
        """Whether somebody may see the group: administrators, those of an allowed domain, and who may start in it."""
        return (
            caller.is_admin
            or caller.user_id in self.users
            or caller.domain_id in self.domains
            or any(self.opens_for(caller.user_id, one.project_id, one.domain_id) for one in caller.memberships.values())
        )


def written(access: Access) -> dict[str, list[str]]:
    """As JSON has it."""
    return {name: sorted(getattr(access, name)) for name in KINDS}


def read(value: dict[str, Iterable[str]] | None) -> Access | None:
    """From JSON; None is everybody."""
    return None if value is None else Access(*(frozenset(value.get(name, ())) for name in KINDS))


KINDS: Final = ("domains", "projects", "users")
"""To whom a group can be opened."""
