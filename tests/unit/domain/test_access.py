"""Who may use a resource group follows from ids alone."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from madang.domain.access import Access, read, written
from madang.domain.people import Caller, Membership, ProjectRole

_IDS = st.sampled_from(["1", "2", "3"])
_SETS = st.frozensets(_IDS)
_ACCESS = st.builds(Access, _SETS, _SETS, _SETS)
_MEMBERSHIPS = st.dictionaries(_IDS, _IDS)  # project: its domain


@given(_ACCESS)
def test_it_is_written_and_read_again(access: Access) -> None:
    assert read(json.loads(json.dumps(written(access)))) == access
    assert read(None) is None


@given(_ACCESS, _IDS, _IDS, _IDS)
def test_any_of_the_three_opens_it(access: Access, user: str, project: str, domain: str) -> None:
    named = user in access.users or project in access.projects or domain in access.domains
    assert access.opens_for(user, project, domain) == named
    assert not Access().opens_for(user, project, domain)


@given(_ACCESS, _IDS, _IDS, _MEMBERSHIPS)
def test_who_can_start_in_a_group_sees_it(access: Access, user: str, home: str, projects: dict[str, str]) -> None:
    mine = {one: Membership(one, one, ProjectRole.MEMBER, domain) for one, domain in projects.items()}
    caller = Caller(user, "kim", "user", home, mine)
    starts = [access.opens_for(user, one.project_id, one.domain_id) for one in mine.values()]
    assert access.shows_to(caller) >= any(starts)
    assert access.shows_to(caller) == (user in access.users or home in access.domains or any(starts))
    assert access.shows_to(Caller(user, "root", "admin", home, mine))
