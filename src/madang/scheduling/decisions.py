"""What a scheduling pass may decide about a session."""

from __future__ import annotations

from dataclasses import dataclass

from madang.domain.why import Why
from madang.scheduling.snapshot import Part


@dataclass(frozen=True, slots=True)
class Placement:
    """The session starts: one part a container, in order of rank (0 is the main one)."""

    session_id: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """The session keeps waiting; `sentence(why)` is what people read.

    `position` counts from 1, `of` is the length of the queue. Far back the position is rounded and `of` is 0, so that
    both stay the same for a while; a position of 0: it is not in the queue yet.
    """

    session_id: str
    why: Why
    position: int
    of: int
    estimated_start: float | None = None


@dataclass(frozen=True, slots=True)
class Preempt:
    """A running session is asked to give way to `for_session`, and stopped after `grace_seconds`."""

    session_id: str
    for_session: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Expire:
    """The session can no longer start as asked, whatever happens."""

    session_id: str
    why: Why


Decision = Placement | Wait | Preempt | Expire
