"""The server's problems become the errors that people catch."""

from __future__ import annotations

import pytest

from madang.api.problems import problem_of
from madang.domain import errors as domain
from madang.domain.errors import MadangError
from madang.sdk.errors import ApiError, error_of, error_of_response

KINDS = [
    value
    for value in vars(domain).values()
    if isinstance(value, type) and issubclass(value, MadangError) and value is not MadangError
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_the_domain_comes_back_as_itself(kind: type[MadangError]) -> None:
    found = error_of(problem_of(kind("Do this instead.")))
    assert type(found) is kind
    assert found.message == "Do this instead."


def test_sentences_about_fields_are_part_of_the_message() -> None:
    problem = problem_of(domain.InvalidInput("2 fields are invalid."), ["a: is wrong.", "b: is missing."])
    assert error_of(problem).message == "a: is wrong. b: is missing."


def test_codes_of_later_servers_are_errors_too() -> None:
    problem = problem_of(domain.Conflict("Later.")).model_copy(update={"code": "quota_exceeded"})
    found = error_of(problem)
    assert isinstance(found, ApiError)
    assert (found.message, found.problem.code) == ("Later.", "quota_exceeded")


@pytest.mark.parametrize(("status", "kind"), [(502, domain.Unavailable), (503, domain.Unavailable), (404, ApiError)])
def test_answers_of_others_on_the_way(status: int, kind: type[MadangError]) -> None:
    assert isinstance(error_of_response(status, b"<html>no</html>"), kind)
