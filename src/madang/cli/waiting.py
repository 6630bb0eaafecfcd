"""Why a session waits and where it would start, in one sentence in the user's language."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from madang.cli.i18n import language, t
from madang.cli.moments import show_moment
from madang.domain.devices import device_word

if TYPE_CHECKING:
    from madang.schemas.api import HeldDevice, PlanAnswer, Session, Waiting


def reason_of(session: Session) -> str:
    """The session's reason in the user's language, when it waits; else as the server says it."""
    return _sentence(session.waiting, session.reason) if session.waiting is not None else session.reason


def place_of(waiting: Waiting | None) -> str:
    """`3 of 7`; empty when it has no place in the queue."""
    return t("waiting.place", position=waiting.position, of=waiting.of) if waiting and waiting.position else ""


def start_of(waiting: Waiting | None, now: datetime | None = None) -> str:
    """`2026-12-01 14:30 (in 2h)`; empty where nobody knows."""
    if waiting is None or waiting.estimated_start is None:
        return ""
    return t("waiting.start", time=show_moment(waiting.estimated_start), left=_left(waiting.estimated_start, now))


def outlook(answer: PlanAnswer) -> str:
    """What a dry run found, in one sentence or two."""
    if answer.starts:
        places = [(one.node, devices_text(one.devices)) for one in answer.placements]
        if len(places) > 1:
            return t("plan.starts_several", count=len(places), places=_together(places))
        return t("plan.starts", places=_together(places))
    if answer.would_preempt:
        said = t("plan.preempts", names=", ".join(answer.would_preempt))
    else:
        said = t("plan.waits", reason=_sentence(answer.waiting, answer.reason))
    start = start_of(answer.waiting)
    return f"{said} {t('plan.start', start=start)}" if start else said


def devices_text(devices: Sequence[HeldDevice]) -> str:
    """`GPU 0, GPU 1`, `0.3 of GPU 2`."""
    return ", ".join(
        name if one.milli == 1000 else t("plan.share", share=f"{one.milli / 1000:g}", device=name)
        for one in devices
        for name in [f"{device_word(one.kind)} {one.index}"]
    )


def _together(places: Sequence[tuple[str, str]]) -> str:
    """`gpu-01 (GPU 0), gpu-02`; more than eight are counted."""
    written = [f"{node} ({devices})" if devices else node for node, devices in places[:8]]
    return ", ".join(written) + (", …" if len(places) > 8 else "")


def _sentence(waiting: Waiting | None, otherwise: str) -> str:
    from madang.domain.why import Why, WhyCode, sentence

    if waiting is None:
        return otherwise
    try:
        code = WhyCode(waiting.code)
    except ValueError:
        return otherwise  # of a newer server
    values = {name: _local(value) for name, value in waiting.values.items()}
    return sentence(Why(code, values), "ko" if language() == "ko" else "en")


def _local(value: str | int | float) -> str | int | float:
    """A moment, as the server says it, in local time; anything else as it is."""
    if not isinstance(value, str) or not value.endswith(" UTC"):
        return value
    try:
        return show_moment(datetime.strptime(value, "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC))
    except ValueError:
        return value


def _left(moment: datetime, now: datetime | None) -> str:
    from madang.domain.durations import format_seconds

    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return format_seconds(max(round(seconds / 60) * 60, 60))
