"""Who asks: the caller of every use case, and what rights the caller has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from madang.domain.errors import Forbidden, NotFound
from madang.domain.rights import RIGHTS, Right, Scope, Tie, gives

Role = Literal["admin", "domain_admin", "user"]
ShareLevel = Literal["view", "use"]

DEFAULT_DOMAIN: Final = "default"
DEFAULT_PROJECT: Final = "default"


class ProjectRole(StrEnum):
    """What somebody is in a project."""

    OWNER = "owner"
    MAINTAINER = "maintainer"
    MEMBER = "member"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        """Higher is stronger."""
        return -list(ProjectRole).index(self)


_TIE: Final = {
    ProjectRole.OWNER: Tie.OWNER,
    ProjectRole.MAINTAINER: Tie.MAINTAINER,
    ProjectRole.MEMBER: Tie.MEMBER,
    ProjectRole.VIEWER: Tie.VIEWER,
}
_SHARE: Final[Mapping[ShareLevel, Tie]] = {"view": Tie.VIEW, "use": Tie.USE}


@dataclass(frozen=True, slots=True)
class Membership:
    """What somebody is in which project; `path` is what the project is called, see `project_path`."""

    project_id: str
    path: str
    role: ProjectRole
    domain_id: str = ""  # of the project
    domain: str = ""  # its name


@dataclass(frozen=True, slots=True)
class Reach:
    """The objects that a right of a caller extends to, as a repository filters them."""

    everything: bool
    own: bool
    domains: tuple[str, ...]  # ids: all of a domain's projects
    projects: tuple[str, ...]  # ids
    levels: tuple[ShareLevel, ...]  # of what is shared with the caller or one of the caller's projects


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user, as the credential of the request says.

    Attributes:
        domain_id: the user's own.
        memberships: projects by id, of any domain.
        scopes: what the credential is limited to; None: everything that the user may do.
        credential: the id of the token or signing key.
        robot: a project's, which has nothing of its own to administer.
        address: where the request came from; two callers that differ in nothing else are the same.
    """

    user_id: str
    name: str
    role: Role
    domain_id: str = ""
    memberships: Mapping[str, Membership] = field(default_factory=dict)
    scopes: frozenset[Scope] | None = None
    credential: str = ""
    robot: bool = False
    address: str = field(default="", compare=False)

    @property
    def is_admin(self) -> bool:
        """Of the site."""
        return self.role == "admin"

    def membership(self, project: str) -> Membership:
        """In the project of a path, also of its bare name in one's only project of that name. Raises NotFound."""
        found = [one for one in self.memberships.values() if one.path == project]
        found = found or [one for one in self.memberships.values() if one.path.rpartition("/")[2] == project]
        if len(found) == 1:
            return found[0]
        mine = ", ".join(sorted(one.path for one in self.memberships.values())) or "none"
        raise NotFound(f"You are in no project '{project[:80]}'. Yours: {mine}.")

    def ties(
        self,
        *,
        owner_id: str | None = None,
        project_id: str | None = None,
        domain_id: str | None = None,
        share: ShareLevel | None = None,
    ) -> set[Tie]:
        """How the caller is tied to an object of an owner, a project and a domain, which is shared so far."""
        ties = {Tie.ANYBODY}
        if owner_id is not None and owner_id == self.user_id:
            ties.add(Tie.SELF)
        if project_id is not None and project_id in self.memberships:
            ties.add(_TIE[self.memberships[project_id].role])
        if domain_id is not None and domain_id == self.domain_id:
            ties |= {Tie.FELLOW, Tie.DOMAIN_ADMIN} if self.role == "domain_admin" else {Tie.FELLOW}
        if share is not None:
            ties.add(_SHARE[share])
        if self.is_admin:
            ties.add(Tie.ADMIN)
        return ties

    def reach(self, right: Right) -> Reach:
        """What a right extends to. Raises Forbidden when the credential lacks its scope."""
        self.require_scope(right)
        ties = RIGHTS[right].ties
        mine = [one.project_id for one in self.memberships.values() if _TIE[one.role] in ties]
        return Reach(
            everything=Tie.ANYBODY in ties or (self.is_admin and Tie.ADMIN in ties),
            own=Tie.SELF in ties,
            domains=(self.domain_id,) if self.role == "domain_admin" and Tie.DOMAIN_ADMIN in ties else (),
            projects=tuple(sorted(mine)),
            levels=tuple(level for level, tie in _SHARE.items() if tie in ties),
        )

    def require_scope(self, right: Right) -> None:
        """Raises Forbidden when the credential is limited to other scopes."""
        scope = RIGHTS[right].scope
        if self.scopes is not None and scope not in self.scopes:
            raise Forbidden(
                f"This token may not {RIGHTS[right].what}: it lacks the scope {scope}. Make one with "
                f"'madang token add --scope {scope}'."
            )

    def require(
        self,
        right: Right,
        *,
        owner_id: str | None = None,
        project_id: str | None = None,
        domain_id: str | None = None,
        share: ShareLevel | None = None,
    ) -> None:
        """Raises Forbidden unless the caller has a right over an object that the caller may know of."""
        self.require_scope(right)
        if self.robot and right is Right.ACCOUNT_CHANGE:
            raise Forbidden("A project's robot has no tokens, keys or password of its own to change. Use an account.")
        if not gives(right, self.ties(owner_id=owner_id, project_id=project_id, domain_id=domain_id, share=share)):
            rule = RIGHTS[right]
            able = ", ".join(tie for tie in Tie if tie in rule.ties)
            raise Forbidden(f"You may not {rule.what}. Who may: {able}.")


def project_path(domain: str, project: str) -> str:
    """What a project is called: its name, and before it the domain unless that is the default one."""
    return project if domain == DEFAULT_DOMAIN else f"{domain}/{project}"


def split_path(path: str) -> tuple[str, str]:
    """The domain and the name of the project that a path names."""
    domain, slash, name = path.rpartition("/")
    return (domain, name) if slash else (DEFAULT_DOMAIN, name)
