"""Every error a user may meet: a stable code, an HTTP status, and a message that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class MadangError(Exception):
    """Root of all expected errors.

    Attributes:
        code: stable machine-readable name, part of the API contract.
        status: HTTP status the API answers with.
        title: short name of the kind of problem, the same for every instance.
        message: what went wrong here and what to do about it.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(MadangError):
    """The request is well-formed but asks for something that makes no sense.

    Attributes:
        errors: where several things are wrong, a sentence for each.
    """

    code = "invalid_input"
    status = 422
    title = "Invalid input"

    def __init__(self, message: str, errors: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class InvalidSlots(InvalidInput):
    """A resource amount cannot be read, or arithmetic on it would go below zero."""

    code = "invalid_slots"
    title = "Invalid resource amount"


class ImpossibleRequest(InvalidInput):
    """No node could ever satisfy the request, however long it waited."""

    code = "impossible_request"
    title = "No node can satisfy this request"


class UnsafePath(InvalidInput):
    """A path leaves the directory it has to stay in."""

    code = "unsafe_path"
    title = "Path leaves its directory"


class TooLarge(MadangError):
    """An upload or a directory is larger than allowed."""

    code = "too_large"
    status = 413
    title = "Too large"


class Unauthorized(MadangError):
    """No credential, or one that is malformed, unknown, expired or revoked."""

    code = "unauthorized"
    status = 401
    title = "Not signed in"


class SecondFactorRequired(Unauthorized):
    """The password is right, and a code of the second factor is missing or wrong."""

    code = "second_factor_required"
    title = "Second factor required"


class TooManyAttempts(MadangError):
    """Sign-in has failed too often; what was sent has not been looked at.

    Attributes:
        retry_after_seconds: how long to wait at least, for the header `Retry-After`.
    """

    code = "too_many_attempts"
    status = 429
    title = "Too many attempts"

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Forbidden(MadangError):
    """The caller is known and may not do this; what may not even be known of is NotFound."""

    code = "forbidden"
    status = 403
    title = "Not allowed"


class PasswordChangeRequired(Forbidden):
    """The password is right and has to be replaced before anything else."""

    code = "password_change_required"
    title = "Password has to be changed"


class CrossSite(Forbidden):
    """A request with a cookie that does not show that it comes from the platform's own pages."""

    code = "cross_site"
    title = "Not from a page of this server"


class LimitExceeded(Forbidden):
    """A limit that a policy lays on a user, a project or a domain does not allow it."""

    code = "limit_exceeded"
    title = "More than allowed"


class BudgetSpent(LimitExceeded):
    """A project has spent what it may in this month."""

    code = "budget_spent"
    title = "Budget spent"


class NotFound(MadangError):
    """The object does not exist, or the caller may not know that it does."""

    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(MadangError):
    """The object is in a state that does not allow the request."""

    code = "conflict"
    status = 409
    title = "Conflict"


class UnderMaintenance(Conflict):
    """No sessions are accepted while the site is under maintenance."""

    code = "maintenance"
    title = "Under maintenance"


class NameInUse(Conflict):
    """Another live object of the same owner has this name."""

    code = "name_in_use"
    title = "Name in use"


class IdempotencyMismatch(Conflict):
    """An idempotency key was used again with a different request."""

    code = "idempotency_mismatch"
    title = "Idempotency key reused"


class InvalidTransition(Conflict):
    """A state machine was asked for a step it does not have."""

    code = "invalid_transition"
    title = "Step not possible in this state"


class Unavailable(MadangError):
    """A component is down for the moment; the same request may succeed shortly."""

    code = "unavailable"
    status = 503
    title = "Temporarily unavailable"


class StorageFull(MadangError):
    """There is no room left on the disk that the request needs."""

    code = "storage_full"
    status = 507
    title = "Storage full"


class StaleEpoch(Conflict):
    """A command carries an older launch epoch than the one the agent has seen."""

    code = "stale_epoch"
    title = "Command of an earlier launch"


class StartupError(MadangError):
    """The platform cannot start; the message says what to change."""

    code = "startup_failed"
    title = "Cannot start"
