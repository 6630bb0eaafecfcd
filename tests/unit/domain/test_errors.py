"""Every error has a code of its own, a fitting status, and carries its message."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest

from madang.domain import errors
from madang.domain.errors import MadangError


def _all(kind: type[MadangError] = MadangError) -> list[type[MadangError]]:
    found = [kind]
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            found.extend(_all(below))
    return found


def test_no_two_errors_share_a_code_or_a_title() -> None:
    kinds = _all()
    assert len(kinds) > 10
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert len({kind.title for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("kind", _all(), ids=lambda kind: kind.__name__)
def test_an_error_says_what_it_is(kind: type[MadangError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert 400 <= HTTPStatus(kind.status) < 600
    assert kind.title
    assert kind.title[0].isupper()
    assert not kind.title.endswith(".")
    assert kind.__doc__
    made = kind("Do this instead.")
    assert made.message == str(made) == "Do this instead."


@pytest.mark.parametrize("kind", _all()[1:], ids=lambda kind: kind.__name__)
def test_what_the_user_can_mend_is_no_fault_of_the_server(kind: type[MadangError]) -> None:
    ours = {"unavailable", "storage_full", "startup_failed"}
    assert (kind.status >= 500) is (kind.code in ours)


def test_statuses_that_clients_rely_on() -> None:
    assert errors.InvalidInput.status == 422
    assert errors.Unauthorized.status == 401
    assert errors.NotFound.status == 404
    assert errors.Conflict.status == 409
    assert errors.TooLarge.status == 413
    assert errors.Unavailable.status == 503
    assert errors.StorageFull.status == 507
