"""Problems as responses (RFC 9457), and how routes document which of them they can give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from madang.domain.errors import MadangError
from madang.schemas.api import Problem

Responses = dict[int | str, dict[str, Any]]
"""What a route says of its answers, by status."""

PROBLEM_TYPE: Final = "application/problem+json"
_BASE: Final = "https://madang.dev/problems/"

_DESCRIPTIONS: Final[Mapping[int, str]] = {
    401: "No bearer token, or one that is malformed, unknown, expired or revoked.",
    403: "The caller is known and may not do this.",
    404: "There is no such object, or the caller may not know of it.",
    405: "The path does not know this method.",
    409: "The object is in a state that does not allow this, or the name or idempotency key is in use, or "
    "the site is under maintenance.",
    413: "The body is larger than this server allows.",
    421: "The Host header names another server than this one.",
    422: "The request asks for something that makes no sense; `errors` tells what, field by field.",
    429: "Too many attempts; try again after the seconds in Retry-After.",
    500: "A fault inside Madang; its log has the details under the request id.",
    503: "A component is down for the moment; try again after the seconds in Retry-After.",
    507: "There is no room left on the disk that this needs.",
}


def problem_of(error: MadangError, errors: Sequence[str] = ()) -> Problem:
    """The problem that tells a client of `error`."""
    return make_problem(error.status, error.code, error.title, error.message, errors)


def make_problem(status: int, code: str, title: str, detail: str, errors: Sequence[str] = ()) -> Problem:
    """A problem whose type is derived from its code."""
    return Problem(type=_BASE + code, title=title, status=status, code=code, detail=detail, errors=list(errors))


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """`problem` as a response, with the headers that its status demands."""
    extra = dict(headers or {})
    if problem.status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    elif problem.status == 503:
        extra["Retry-After"] = "1"
    return Response(problem.model_dump_json(), problem.status, extra, media_type=PROBLEM_TYPE)


def problems(*statuses: int) -> Responses:
    """The `responses` of a signed-in route: what every one can give, and `statuses`."""
    return _document(sorted({401, 403, 421, 422, 500, 503, *statuses}))


def open_problems(*statuses: int) -> Responses:
    """The `responses` of a route that needs no token."""
    return _document(sorted({421, 422, 500, *statuses}))


def _document(statuses: Sequence[int]) -> Responses:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {PROBLEM_TYPE: {"schema": schema}}}
        for status in statuses
    }
