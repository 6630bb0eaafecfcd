"""The agent's memory of its containers, and the directory that outlives it.

`containers/<id>/` holds spec.json (what was asked for), plan.json (what the keeper was told), state.json and exit.json
(what the keeper says), `work/` and `log/`. `removed/<id>` keeps the last launch epoch of a removed container for a day,
so that a late command of it is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from pydantic import ValidationError

from madang.agent.bell import Bell
from madang.agent.files import WorkDirectory, remove_tree
from madang.agent.keeper.container import EXIT_FILE, STATE_FILE, read_json, write_whole
from madang.agent.keeper.plan import ContainerPlan, ExitRecord, Identity
from madang.domain.errors import StaleEpoch
from madang.domain.session import ExitReason
from madang.faults import write_point
from madang.schemas.agent import ContainerSpec, ContainerStatus, ExitReport, Phase

SPEC_FILE: Final = "spec.json"
PLAN_FILE: Final = "plan.json"
_REMEMBER_SECONDS: Final = 86_400


def instant(seconds: float) -> datetime | None:
    """A time in seconds since the epoch; None for zero."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


@dataclass
class Container:
    """One container on this node."""

    spec: ContainerSpec
    directory: Path
    work: WorkDirectory
    phase: Phase = Phase.CREATED
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit: ExitReport | None = None
    cpus: list[int] = field(default_factory=list)
    main_pid: int = 0
    starting: asyncio.Task[None] | None = None
    changed: Bell = field(default_factory=Bell)  # new phase or new output

    @property
    def status(self) -> ContainerStatus:
        """What the manager is told."""
        return ContainerStatus(
            container_id=self.spec.container_id,
            epoch=self.spec.epoch,
            phase=self.phase,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit=self.exit,
        )

    @property
    def log_directory(self) -> str:
        """Where the keeper writes the output."""
        return str(self.directory / "log")

    def take_exit(self, record: ExitRecord) -> None:
        """Become ENDED as the record says."""
        self.phase = Phase.ENDED
        self.started_at = instant(record["started_at"])
        self.ended_at = instant(record["ended_at"])
        self.exit = ExitReport(
            reason=ExitReason(record["reason"]),
            code=record["code"],
            signal=record["signal"],
            message=record["message"],
        )

    def end_without_launch(self, reason: ExitReason, message: str) -> None:
        """Become ENDED although the keeper never launched it, for good."""
        record: ExitRecord = {
            "container": self.spec.container_id,
            "epoch": self.spec.epoch,
            "reason": reason.value,
            "code": None,
            "signal": None,
            "message": message,
            "started_at": 0.0,
            "ended_at": time.time(),
        }
        self.take_exit(record)
        # On a full disk memory has to do: after a restart the same command gives the same end.
        with contextlib.suppress(OSError):
            write_whole(str(self.directory / EXIT_FILE), record)

    def plan(self) -> ContainerPlan | None:
        """What the keeper was told, None before the launch."""
        return cast("ContainerPlan | None", read_json(str(self.directory / PLAN_FILE)))


class ContainerDirectory:
    """All containers of a node on disk. Methods block briefly."""

    def __init__(self, agent_dir: Path, identity: Identity | None) -> None:
        self.root = agent_dir / "containers"
        self._removed = agent_dir / "removed"
        self._identity = identity
        for directory, mode in ((self.root, 0o711), (self._removed, 0o700)):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(mode)

    def load(self) -> dict[str, Container]:
        """What an earlier agent left: whole containers; half-made and half-removed ones are deleted."""
        now = time.time()
        for mark in self._removed.iterdir():
            if now - mark.stat().st_mtime > _REMEMBER_SECONDS:
                mark.unlink()
        found: dict[str, Container] = {}
        for directory in self.root.iterdir():
            try:
                spec = ContainerSpec.model_validate_json((directory / SPEC_FILE).read_bytes())
            except (OSError, ValidationError):
                _remove_tree(directory)
                continue
            container = self._container(spec, directory)
            plan = container.plan()
            if plan is not None and plan["epoch"] == spec.epoch:
                container.cpus = plan["confinement"]["cpus"]
            found[spec.container_id] = container
        return found

    def read_exit(self, container: Container) -> bool:
        """Take the end of this launch from disk; False when it has not ended."""
        record = cast("ExitRecord | None", read_json(str(container.directory / EXIT_FILE)))
        if record is None or record["epoch"] < container.spec.epoch:
            return False
        container.take_exit(record)
        return True

    def _container(self, spec: ContainerSpec, directory: Path) -> Container:
        return Container(spec, directory, WorkDirectory(directory / "work", self._identity))

    def check_epoch(self, container_id: str, epoch: int) -> None:
        """Raises StaleEpoch when this or a later launch of the container has been removed."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            if int((self._removed / container_id).read_text()) >= epoch:
                raise StaleEpoch(f"Launch {epoch} of container {container_id} was removed from this node.")

    def create(self, spec: ContainerSpec) -> Container:
        """Make the directories; spec.json comes last and makes them count."""
        directory = self.root / spec.container_id
        if directory.exists():
            _remove_tree(directory)
        directory.mkdir(mode=0o711)
        directory.chmod(0o711)
        work = directory / "work"
        work.mkdir(mode=0o700)
        if self._identity is not None:
            os.chown(work, self._identity["uid"], self._identity["gid"])
        write_point("agent.before_spec")
        write_whole(str(directory / SPEC_FILE), spec.model_dump(mode="json"))
        write_point("agent.after_spec")
        return self._container(spec, directory)

    def write_plan(self, container: Container, plan: ContainerPlan) -> None:
        """Write what the keeper is to do."""
        write_whole(str(container.directory / PLAN_FILE), plan, durable=False)

    def remove(self, container: Container) -> None:
        """Delete everything of an ended container but the memory of its epoch."""
        container_id, epoch = container.spec.container_id, container.spec.epoch
        self.remember(container_id, epoch)
        write_point("agent.before_remove")
        for name in (SPEC_FILE, STATE_FILE):
            with contextlib.suppress(FileNotFoundError):
                (container.directory / name).unlink()
        _remove_tree(container.directory)
        write_point("agent.after_remove")

    def remember(self, container_id: str, epoch: int) -> None:
        """Refuse this and earlier launches of a container from now on."""
        with contextlib.suppress(StaleEpoch):
            self.check_epoch(container_id, epoch)
            mark = self._removed / container_id
            temporary = mark.with_suffix(".new")
            temporary.write_text(str(epoch))
            temporary.replace(mark)


def _remove_tree(directory: Path) -> None:
    """Delete a container's directory as far as it can be deleted."""
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            remove_tree(parent, directory.name)
    finally:
        os.close(parent)
