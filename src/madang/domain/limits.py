"""Limits that policies lay on users, projects and domains: what each is, how they add up, and what exceeds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final, Literal, TypeVar

from madang.domain.devices import WHOLE, claim_of, counted, device_word, is_device_slot, shares_slot
from madang.domain.durations import format_seconds, parse_seconds
from madang.domain.errors import InvalidInput, InvalidSlots, LimitExceeded
from madang.domain.slots import format_amount, parse_amount


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked for and used at once; what is missing has no limit, and 0 allows none.

    Attributes:
        slots: in use, in base units. Devices are `<kind>.shares`, thousandths of any model, whole ones and parts.
        sessions: that wait or hold room; `pending` are those that wait; `containers` of one session.
        run_seconds: of one session; one that names no maximum run time gets this one. `idle_seconds` likewise.
        environments: allowed ones; `groups`: allowed resource groups.
        gpu_hours: in a month of the calendar.
    """

    slots: Mapping[str, int] = field(default_factory=dict)
    sessions: int | None = None
    pending: int | None = None
    containers: int | None = None
    folders: int | None = None
    folder_bytes: int | None = None
    run_seconds: int | None = None
    idle_seconds: int | None = None
    environments: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    gpu_hours: Decimal | None = None


Written = str | int | Sequence[str] | Mapping[str, str | int] | None
"""A limit as people write it, and as it is stored: `5`, `8g`, `2h`, `["python"]`, `{"cuda.device": "2"}`."""

KEYS: Final = (
    *("slots", "sessions", "pending", "containers", "folders", "folder_bytes", "run_time", "idle_time"),
    *("environments", "groups", "gpu_hours"),
)
"""What limits are called where they are written."""

_HOURS: Final = re.compile(r"\d{1,9}(\.\d{1,3})?", re.ASCII)
_MANY: Final = 10**9


def parse_limits(written: Mapping[str, Written]) -> Limits:
    """Read `{"slots": {"cuda.device": 2, "mem": "64g"}, "sessions": 5, "run_time": "2h"}`; None is no limit.

    Whole numbers are in the base unit. Raises InvalidInput, or InvalidSlots.
    """
    unknown = sorted(written.keys() - set(KEYS))
    if unknown:
        raise InvalidInput(f"'{unknown[0][:40]}' is not a limit; there are {', '.join(KEYS)}.")
    return Limits(
        _parse_slots(written.get("slots")),
        _parse_count("sessions", written.get("sessions")),
        _parse_count("pending", written.get("pending")),
        _parse_count("containers", written.get("containers")),
        _parse_count("folders", written.get("folders")),
        _parse_bytes(written.get("folder_bytes")),
        _parse_time("run_time", written.get("run_time")),
        _parse_time("idle_time", written.get("idle_time")),
        _parse_names("environments", written.get("environments")),
        _parse_names("groups", written.get("groups")),
        _parse_hours(written.get("gpu_hours")),
    )


def write_limits(limits: Limits) -> dict[str, Written]:
    """As people write it, without what has no limit; `parse_limits` reads the very same back."""
    found: dict[str, Written] = {
        "slots": {slot: format_amount(slot, most) for slot, most in sorted(limits.slots.items())} or None,
        "sessions": limits.sessions,
        "pending": limits.pending,
        "containers": limits.containers,
        "folders": limits.folders,
        "folder_bytes": None if limits.folder_bytes is None else format_amount("mem", limits.folder_bytes),
        "run_time": None if limits.run_seconds is None else format_seconds(limits.run_seconds),
        "idle_time": None if limits.idle_seconds is None else format_seconds(limits.idle_seconds),
        "environments": None if limits.environments is None else sorted(limits.environments),
        "groups": None if limits.groups is None else sorted(limits.groups),
        "gpu_hours": None if limits.gpu_hours is None else _plain(limits.gpu_hours),
    }
    return {name: one for name, one in found.items() if one is not None}


def _parse_slots(written: Written) -> dict[str, int]:
    if written is None:
        return {}
    if not isinstance(written, Mapping):
        raise InvalidInput("slots: write an amount for each slot, such as cuda.device 2 and mem 64g.")
    found: dict[str, int] = {}
    for slot, value in written.items():
        amount, counts_as = parse_amount(slot, value), slot
        kind, _, word = slot.rpartition(".")
        if word == "device":
            amount, counts_as = amount * WHOLE, shares_slot(kind)
        if counts_as in found:
            raise InvalidSlots(f"{kind}.device and {kind}.shares are counted together; give one limit for both.")
        found[counts_as] = amount
    return found


def _parse_count(name: str, written: Written) -> int | None:
    if written is None:
        return None
    if isinstance(written, str) and re.fullmatch(r"\s*\d{1,10}\s*", written, re.ASCII):
        written = int(written)
    if isinstance(written, bool) or not isinstance(written, int) or not 0 <= written <= _MANY:
        raise InvalidInput(f"{name}: write a whole number such as 5, or leave it out for no limit.")
    return written


def _parse_bytes(written: Written) -> int | None:
    if written is None:
        return None
    if not isinstance(written, str | int):
        raise InvalidInput("folder_bytes: write an amount such as 100g.")
    try:
        return parse_amount("mem", written)
    except InvalidSlots as error:
        raise InvalidInput(f"folder_bytes: {error.message.removeprefix('mem: ')}") from None


def _parse_time(name: str, written: Written) -> int | None:
    if written is None:
        return None
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise InvalidInput(f"{name}: write a length of time such as 30m, 2h or 7d.")
    seconds = parse_seconds(written) if isinstance(written, str) else written
    if not (1 <= seconds <= _MANY and seconds == int(seconds)):
        raise InvalidInput(f"{name}: write whole seconds, minutes, hours or days, and at least 1s.")
    return int(seconds)


def _parse_names(name: str, written: Written) -> frozenset[str] | None:
    if written is None:
        return None
    names = written.split(",") if isinstance(written, str) else written
    if not isinstance(names, Sequence) or not all(isinstance(one, str) and one.strip() for one in names):
        raise InvalidInput(f"{name}: write names, separated by commas; leave it out to allow all.")
    return frozenset(one.strip() for one in names)


def _parse_hours(written: Written) -> Decimal | None:
    if written is None:
        return None
    text = str(written).strip()
    if isinstance(written, bool) or not isinstance(written, str | int) or not _HOURS.fullmatch(text):
        raise InvalidInput("gpu_hours: write hours such as 100 or 0.5.")
    return Decimal(text)


_Amount = TypeVar("_Amount", int, Decimal)


def strictest(*limits: Limits) -> Limits:
    """What all of them allow. Neither the order matters nor whether one comes twice."""
    slots: dict[str, int] = {}
    for one in limits:
        for slot, most in one.slots.items():
            slots[slot] = min(most, slots.get(slot, most))
    return Limits(
        slots,
        _least(one.sessions for one in limits),
        _least(one.pending for one in limits),
        _least(one.containers for one in limits),
        _least(one.folders for one in limits),
        _least(one.folder_bytes for one in limits),
        _least(one.run_seconds for one in limits),
        _least(one.idle_seconds for one in limits),
        _common(one.environments for one in limits),
        _common(one.groups for one in limits),
        _least(one.gpu_hours for one in limits),
    )


def _least(amounts: Iterable[_Amount | None]) -> _Amount | None:
    return min((one for one in amounts if one is not None), default=None)


def _common(names: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    known = [one for one in names if one is not None]
    return known[0].intersection(*known[1:]) if known else None


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of a policy, and on whom they are laid: `member` is everybody in a project, for what is in it."""

    policy: str
    on: Literal["user", "project", "domain", "member"]
    name: str  # of the user, the project or the domain; of the project for `member`
    limits: Limits

    @property
    def subject(self) -> str:
        """`User kim`, to begin a sentence with."""
        return f"A member of project {self.name}" if self.on == "member" else f"{self.on.capitalize()} {self.name}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks for. `slots` are those of each of `size` containers, as people name them."""

    slots: Mapping[str, int]
    size: int = 1
    environment: str = ""
    group: str = ""
    max_seconds: float | None = None
    idle_seconds: float | None = None


def in_use(slots: Mapping[str, int], size: int = 1) -> dict[str, int]:
    """What a session of so many containers takes of every slot that limits count, without zeros. Raises InvalidSlots
    where the slots of one container make no sense."""
    total = {slot: amount * size for slot, amount in counted(slots).items()}
    claim = claim_of(slots)
    return total if claim is None else {**total, shares_slot(claim.kind): claim.total * size}


def check_request(asked: Asked, rules: Iterable[Rule]) -> None:
    """Raises LimitExceeded for what no policy would ever allow, whatever else runs: all of it, each by the strictest
    rule."""
    known = tuple(rules)
    found = [*_over_slots(asked, known)]
    found += _over(known, lambda one: one.containers, asked.size, lambda most: f"have {_several(most, 'container')}")
    found += _over(
        known, lambda one: one.run_seconds, asked.max_seconds, lambda most: f"run for {format_seconds(most)}"
    )
    found += _over(
        known, lambda one: one.idle_seconds, asked.idle_seconds, lambda most: f"be idle for {format_seconds(most)}"
    )
    found += _outside(known, "environment", lambda one: one.environments, asked.environment)
    found += _outside(known, "resource group", lambda one: one.groups, asked.group)
    if found:
        raise LimitExceeded(f"{' '.join(found)} Ask for less, or ask an administrator for another policy.")


def check_counts(rule: Rule, *, live: int, pending: int, more: int = 1) -> None:
    """Raises LimitExceeded unless so many sessions more may be created, which wait at first.

    `live` sessions of the subject wait or hold room, `pending` are those of them that wait. They have to be counted
    while nobody else can create one.
    """
    for most, have, word, then in (
        (rule.limits.sessions, live, "live session", "Stop one of them"),
        (rule.limits.pending, pending, "waiting session", "Wait until one of them has started"),
    ):
        if most is not None and have + more > most:
            new = "" if more == 1 else f", and {more} more are asked for"
            raise LimitExceeded(
                f"{rule.subject} may have {_several(most, word)} (policy {rule.policy}) and has {have}{new}. "
                f"{then}, or ask an administrator for another policy."
            )


def check_gpu_hours(rule: Rule, used: Fraction) -> None:
    """Raises LimitExceeded when the GPU-hours of the month have been used, before a session with GPUs is created."""
    most = rule.limits.gpu_hours
    if most is not None and used >= Fraction(most):
        raise LimitExceeded(
            f"{rule.subject} may use {_plain(most)} GPU-hours a month (policy {rule.policy}) and has used "
            f"{float(used):.1f}. Wait for the next month, ask for no GPU, or ask an administrator for more."
        )


def _over_slots(asked: Asked, rules: Sequence[Rule]) -> Iterable[str]:
    for slot, amount in in_use(asked.slots, asked.size).items():
        limited = [(rule.limits.slots[slot], rule) for rule in rules if slot in rule.limits.slots]
        if not limited:
            continue
        most, rule = min(limited, key=lambda one: one[0])
        if amount > most:
            each = (
                f" ({_slot(slot, amount // asked.size)} in each of {asked.size} containers)" if asked.size > 1 else ""
            )
            yield (
                f"{rule.subject} may hold {_slot(slot, most)} (policy {rule.policy}); "
                f"{_slot(slot, amount)} asked for{each}."
            )


def _over(
    rules: Sequence[Rule], of: Callable[[Limits], int | None], amount: float | None, may: Callable[[int], str]
) -> Iterable[str]:
    limited = [(most, rule) for rule in rules if (most := of(rule.limits)) is not None]
    if not limited or amount is None:
        return
    most, rule = min(limited, key=lambda one: one[0])
    if amount > most:
        who = rule.subject[0].lower() + rule.subject[1:]
        yield f"A session of {who} may {may(most)} (policy {rule.policy}); this one would {may(ceil(amount))}."


def _outside(
    rules: Sequence[Rule], word: str, of: Callable[[Limits], frozenset[str] | None], asked: str
) -> Iterable[str]:
    allowed = _common(of(rule.limits) for rule in rules)
    if not asked or allowed is None or asked in allowed:
        return
    rule = next(rule for rule in rules if asked not in (of(rule.limits) or ()) and of(rule.limits) is not None)
    instead = f"allowed: {', '.join(sorted(allowed))}" if allowed else "none is allowed"
    yield f"{rule.subject} may not use {word} {asked} (policy {rule.policy}); {instead}."


def _slot(slot: str, amount: int) -> str:
    """`2 GPUs`, `8g mem`."""
    written = format_amount(slot, amount)
    if not is_device_slot(slot):
        return f"{written} {slot}"
    word = device_word(slot.rpartition(".")[0])
    return f"{written} {word}" if written == "1" else f"{written} {word}s"


def _several(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _plain(amount: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
