"""The rules of a resource group as plain data: who goes first, where, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from madang.domain.session import SessionKind
from madang.domain.why import Why
from madang.scheduling.quotas import Quotas

Queue = Literal["fifo", "lifo", "drf", "fair-share"]
PlacementName = Literal["pack", "spread", "fgd"]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much users and projects count; one that is missing counts 1."""

    users: Mapping[str, float] = field(default_factory=dict)
    projects: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the calendar, from `starts` to before `ends`, in seconds of the clock of the pass."""

    name: str
    starts: float
    ends: float
    kinds: frozenset[SessionKind] = frozenset()  # empty: all
    gpus: Literal["any", "whole", "fractions"] = "any"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room kept for some users from `starts` to before `ends`: counted slots in all, and whole devices."""

    name: str
    starts: float
    ends: float
    users: frozenset[str]
    slots: Mapping[str, int] = field(default_factory=dict)
    claim_count: int = 0
    claim_kind: str = ""
    claim_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody starts before `ends`, in seconds of the clock of the pass; what runs goes on."""

    why: Why
    ends: float


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one resource group.

    `windows`: the window of the calendar in force now and those that follow; empty means no rule. `reservations`: the
    current or next occurrence of each. `history`: decayed slot-seconds of users at the time of the pass, device slots
    as `<kind>.shares`. `quotas`: a session that would take somebody beyond one waits; meanwhile it blocks nobody, and
    no room is kept for it.
    """

    group: str = "default"  # for reasons that people read
    queue: Queue = "fifo"
    placement: PlacementName = "pack"
    backfill: bool = True
    aging_seconds: float = 3600.0  # each so long waited counts as one step of priority; 0: none
    weights: Weights = Weights()
    half_life_seconds: float = 7 * 86400.0
    history: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    reservation_lead_seconds: float = 4 * 3600.0
    preemption: bool = False
    grace_seconds: float = 30.0
    quotas: Quotas = field(default_factory=Quotas)
    pause: Pause | None = None
