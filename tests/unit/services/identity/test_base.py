"""Groups of another system become roles in projects."""

from __future__ import annotations

from madang.domain.people import ProjectRole
from madang.services.identity.base import GroupRule, projects_of

RULES = [
    GroupRule("vision-lab", "vision"),
    GroupRule("professors", "vision", ProjectRole.OWNER),
    GroupRule("guests", "vision", ProjectRole.VIEWER),
    GroupRule("학부생", "class"),
]


def test_the_strongest_role_counts_whatever_the_order() -> None:
    assert projects_of(["vision-lab", "professors", "guests"], RULES) == {"vision": ProjectRole.OWNER}
    assert projects_of(["guests", "vision-lab"], RULES[::-1]) == {"vision": ProjectRole.MEMBER}


def test_groups_are_compared_without_capital_letters() -> None:
    assert projects_of(["Vision-Lab", "학부생"], RULES) == {"vision": ProjectRole.MEMBER, "class": ProjectRole.MEMBER}


def test_a_group_without_a_rule_gives_nothing() -> None:
    assert projects_of(["somebody", ""], RULES) == {}
    assert projects_of([], RULES) == {}
    assert projects_of(["guests"], []) == {}
