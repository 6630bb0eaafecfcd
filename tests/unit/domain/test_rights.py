"""The table of rights is whole, and what a caller may see is what a caller has the right to see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.errors import Forbidden, NotFound
from madang.domain.people import Caller, Membership, ProjectRole, Role, ShareLevel, project_path
from madang.domain.rights import RIGHTS, Right, Scope, Tie, gives

_ids = st.sampled_from(["1", "2", "3"])
_roles: st.SearchStrategy[Role] = st.sampled_from(["admin", "domain_admin", "user"])
_levels: st.SearchStrategy[ShareLevel | None] = st.sampled_from([None, "view", "use"])


def member(project_id: str, role: ProjectRole = ProjectRole.MEMBER, path: str = "") -> Membership:
    return Membership(project_id, path or f"p{project_id}", role)


_callers = st.builds(
    lambda user, role, domain, mine: Caller(user, f"u{user}", role, domain, {p: member(p, r) for p, r in mine.items()}),
    _ids,
    _roles,
    _ids,
    st.dictionaries(_ids, st.sampled_from(ProjectRole), max_size=3),
)


def test_every_right_has_a_rule_and_every_scope_a_right() -> None:
    assert set(RIGHTS) == set(Right)
    assert {rule.scope for rule in RIGHTS.values()} == set(Scope)
    assert all(rule.ties for rule in RIGHTS.values())


@given(_callers, st.sampled_from(Right), _ids, _ids, _ids, _levels)
def test_what_a_filter_lets_through_is_what_the_table_allows(
    caller: Caller, right: Right, owner: str, project: str, domain: str, share: ShareLevel | None
) -> None:
    reach = caller.reach(right)
    passes = (
        reach.everything
        or (reach.own and owner == caller.user_id)
        or domain in reach.domains
        or project in reach.projects
        or (share is not None and share in reach.levels)
    )
    ties = caller.ties(owner_id=owner, project_id=project, domain_id=domain, share=share)
    assert passes == gives(right, ties - {Tie.FELLOW})


@given(_callers, st.sampled_from([right for right in Right if right.startswith("session.")]))
def test_whoever_may_do_anything_to_a_session_may_see_it(caller: Caller, right: Right) -> None:
    for tie in RIGHTS[right].ties - {Tie.MEMBER}:  # who starts a session owns it
        assert gives(Right.SESSION_SEE, {tie})


def test_the_output_of_others_is_for_those_it_was_shared_with_and_for_nobody_by_rank_but_the_site() -> None:
    for right in (Right.SESSION_READ, Right.SESSION_ENTER):
        assert not RIGHTS[right].ties & {Tie.OWNER, Tie.MAINTAINER, Tie.MEMBER, Tie.VIEWER, Tie.DOMAIN_ADMIN}
    assert not gives(Right.SESSION_ENTER, {Tie.VIEW})


def test_a_token_does_no_more_than_its_scopes() -> None:
    caller = Caller("1", "ann", "admin", "1", scopes=frozenset([Scope.SESSIONS_READ]))
    caller.require(Right.SESSION_READ, owner_id="1")
    with pytest.raises(Forbidden, match="lacks the scope sessions:write"):
        caller.require(Right.SESSION_STOP, owner_id="1")
    with pytest.raises(Forbidden, match="cluster:write"):
        caller.require(Right.CLUSTER_CHANGE)


def test_a_refusal_says_who_may() -> None:
    with pytest.raises(Forbidden, match="Who may: administrator"):
        Caller("1", "ann", "user").require(Right.CLUSTER_CHANGE)


def test_projects_are_named_by_path_or_by_a_name_that_is_unique_among_ones_own() -> None:
    caller = Caller("1", "ann", "user", "1", {"1": member("1", path="vision"), "2": member("2", path="snu/robots")})
    assert caller.membership("vision").project_id == "1"
    assert caller.membership("robots").project_id == "2"
    assert caller.membership("snu/robots").project_id == "2"
    with pytest.raises(NotFound, match=r"Yours: snu/robots, vision\."):
        caller.membership("speech")
    assert (project_path("default", "vision"), project_path("snu", "robots")) == ("vision", "snu/robots")
