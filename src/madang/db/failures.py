"""What a failure of the database means: try again, or tell the user one clear thing."""

from __future__ import annotations

from enum import Enum, auto

import asyncpg
from sqlalchemy import exc

from madang.domain.errors import MadangError, StorageFull, Unavailable


class Failure(Enum):
    """Kinds of failure that are no fault of the statement."""

    CONTENTION = auto()  # serialisation failure or deadlock: the transaction was undone, run it again
    CONNECTION = auto()  # the server went away or does not answer
    FULL = auto()  # its disk is full


_CONTENTION = frozenset({"40001", "40P01", "55P03"})
_CONNECTION = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "25P03", "3D000"})


def classify(error: BaseException) -> Failure | None:
    """The kind of a failure; None for everything else, such as a violated constraint."""
    if isinstance(error, exc.TimeoutError):
        return Failure.CONNECTION  # no connection became free
    cause: BaseException = error
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return Failure.CONNECTION
        cause = error.orig or error
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        if state in _CONTENTION:
            return Failure.CONTENTION
        if state.startswith("08") or state in _CONNECTION:
            return Failure.CONNECTION
        return Failure.FULL if state == "53100" else None
    # asyncpg reports a broken or closed connection without a state.
    if isinstance(cause, OSError | TimeoutError | asyncpg.InterfaceError | exc.InterfaceError):
        return Failure.CONNECTION
    if isinstance(error, exc.InterfaceError) or "connection is closed" in str(cause):
        return Failure.CONNECTION
    return None


def as_domain(failure: Failure, *, outcome_unknown: bool = False) -> MadangError:
    """The error a user gets."""
    if failure is Failure.FULL:
        return StorageFull("The disk of the database is full, so nothing was saved. Make room and try again.")
    if failure is Failure.CONTENTION:
        return Unavailable("Too many changes met at the same place. Nothing was saved; try again.")
    if outcome_unknown:
        return Unavailable(
            "The database went away while it saved this, so it is not known whether it was kept. "
            "Try again with the same Idempotency-Key, or look first."
        )
    return Unavailable("The database does not answer at the moment. Nothing was saved; try again shortly.")


def constraint_of(error: exc.IntegrityError) -> str | None:
    """The name of the constraint that a statement violated."""
    cause = error.orig.__cause__ if error.orig is not None else None
    name = getattr(cause, "constraint_name", None)
    return name if isinstance(name, str) else None
