"""What a client raises: the server's problems as the domain's own error classes, and what only a client can meet."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from madang.domain import errors as domain
from madang.domain.errors import MadangError
from madang.schemas.api import Problem
from madang.sdk._httpx import httpx


class ApiError(MadangError):
    """The server answered with an error that has no class of its own; `problem` has its code and status."""

    title = "The server refused"

    def __init__(self, problem: Problem) -> None:
        super().__init__(_message(problem))
        self.problem = problem


class NoServer(domain.Unavailable):
    """No server is known, or the one that is does not answer."""

    code = "no_server"
    title = "No server"


def _classes() -> dict[str, type[MadangError]]:
    known = [value for value in vars(domain).values() if isinstance(value, type) and issubclass(value, MadangError)]
    return {known_class.code: known_class for known_class in known if known_class is not MadangError}


_BY_CODE: Final = _classes()


def error_of(problem: Problem) -> MadangError:
    """The error to raise for what a server said."""
    kind = _BY_CODE.get(problem.code)
    made = kind(_message(problem)) if kind is not None else ApiError(problem)
    if isinstance(made, domain.InvalidInput):
        made.errors = problem.errors
    return made


def error_of_response(status: int, body: bytes) -> MadangError:
    """The error to raise for a response that is no success, whoever on the way wrote it."""
    try:
        return error_of(Problem.model_validate_json(body, extra="ignore"))
    except ValidationError:
        if status in (502, 503, 504):
            return domain.Unavailable(f"The server is not reachable through its proxy (HTTP {status}); try again.")
        detail = f"HTTP {status} without a problem description: is this the address of a Madang server?"
        return ApiError(Problem(type="about:blank", title="", status=status, code="unknown", detail=detail))


def unreachable(url: str, error: httpx.TransportError) -> NoServer:
    """What to tell a user whose server does not answer."""
    if isinstance(error, httpx.TimeoutException):
        return NoServer(f"The server at {url} did not answer in time; check that it is well with `madang status`.")
    return NoServer(f"No server answers at {url}. Start one with `madang up`, or correct MADANG_URL.")


def _message(problem: Problem) -> str:
    if not problem.errors or problem.errors == [problem.detail]:
        return problem.detail
    return " ".join(problem.errors)
