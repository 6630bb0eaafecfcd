"""The platform's own history as rows of a trace, for `madang simulate export`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from madang.cli.i18n import t
from madang.domain.devices import claim_of
from madang.domain.errors import InvalidInput

if TYPE_CHECKING:
    from madang.schemas.api import NodeState, Session
    from madang.sdk import AsyncClient

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class History:
    """What a platform has done."""

    nodes: list[NodeState]
    sessions: list[Session]  # oldest first


async def read_history(client: AsyncClient, group: str, since: datetime | None) -> History:
    """The nodes of a resource group, and the sessions that were created in it since a time."""
    nodes = [node for node in await client.nodes.list() if node.resource_group == group]
    found: list[Session] = []
    async for session in client.sessions.list():
        if since is not None and session.created_at < since:
            break  # they come newest first
        if session.resource_group == group:
            found.append(session)
    found.reverse()
    return History(nodes, found)


def node_rows(nodes: Iterable[NodeState]) -> list[dict[str, str]]:
    """Nodes under the columns of a trace. Raises InvalidInput for one with devices of two kinds."""
    return [_node_row(node) for node in sorted(nodes, key=lambda one: one.name)]


def job_rows(sessions: Sequence[Session], now: datetime) -> list[dict[str, str]]:
    """Sessions that ran, under the columns of a trace; those that still run are cut off now.

    The time is in seconds since 1970. A session's name there is its id, since names may be given again.
    """
    ran = [session for session in sessions if session.started_at is not None]
    names = {session.id for session in ran}
    return [_job_row(session, names, now) for session in ran]


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]], *, force: bool) -> None:
    """Write a CSV file. Raises InvalidInput when there is one already and it is not to be written over."""
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except FileExistsError:
        raise InvalidInput(t("simulate.exists", path=path)) from None


def _node_row(node: NodeState) -> dict[str, str]:
    kinds = sorted({device.kind for device in node.devices})
    if len(kinds) > 1:
        raise InvalidInput(t("simulate.two_kinds", node=node.name, kinds=", ".join(kinds)))
    models = [device.model.replace("|", "/") for device in sorted(node.devices, key=lambda one: one.index)]
    return {
        "sn": node.name,
        "cpu_milli": str(node.slots.get("cpu", 0)),
        "memory_mib": str(node.slots.get("mem", 0) // _MIB),
        "gpu": str(len(models)),
        "model": models[0] if len(set(models)) == 1 else "|".join(models),
        "device": kinds[0] if kinds else "",
    }


def _job_row(session: Session, names: set[str], now: datetime) -> dict[str, str]:
    claim = claim_of(session.slots, session.models)
    return {
        "name": session.id,
        "cpu_milli": str(session.slots.get("cpu", 0)),
        "memory_mib": str(-(-session.slots.get("mem", 0) // _MIB)),
        "num_gpu": str(claim.count if claim else 0),
        "gpu_milli": str(claim.milli if claim else 0),
        "gpu_spec": "|".join(claim.models) if claim else "",
        "pod_phase": session.state.capitalize(),
        "creation_time": _moment(session.created_at),
        "deletion_time": _moment(session.ended_at or now),
        "scheduled_time": _moment(session.started_at),
        "user": session.owner,
        "priority": str(session.priority),
        "max_seconds": "" if session.max_seconds is None else f"{session.max_seconds:g}",
        "after": "|".join(one for one in session.after if one in names),
        "after_ok": "|".join(one for one in session.after_ok if one in names),
        "size": str(session.size),
        "layout": session.layout.value,
        "kind": session.kind.value,
        "preemptible": "true" if session.preemptible else "false",
        "deadline": _moment(session.deadline),
        "start_at": _moment(session.start_at),
        "device": claim.kind if claim else "",
    }


def _moment(time: datetime | None) -> str:
    return "" if time is None else f"{time.timestamp():.3f}"
