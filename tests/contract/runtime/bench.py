"""Running containers on an agent and waiting for what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from madang.agent.agent import LocalAgent
from madang.domain.ids import new_id
from madang.schemas.agent import ContainerSpec, ContainerStatus, ExecSpec, ExitReport, Limits, Phase

PATIENCE = 30.0


@dataclass
class Result:
    """What a container left."""

    exit: ExitReport
    stdout: str
    stderr: str


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


@dataclass
class Bench:
    """One agent under test."""

    agent: LocalAgent
    data_dir: Path
    runtime: str
    made: list[ContainerSpec] = field(default_factory=list)
    room: ContainerSpec | None = None  # a container to look around in

    @property
    def the_room(self) -> ContainerSpec:
        assert self.room is not None
        return self.room

    def spec(self, *command: str, **settings: Any) -> ContainerSpec:
        values: dict[str, Any] = {
            "container_id": new_id(),
            "session_id": new_id(),
            "epoch": 1,
            "hostname": "main",
            "environment": "bare",
            "command": list(command),
            "cpu": 500,
            "mem": 256 << 20,
        }
        spec = ContainerSpec(**(values | settings))
        self.made.append(spec)
        return spec

    def shell(self, script: str, **settings: Any) -> ContainerSpec:
        return self.spec("/bin/sh", "-c", script, **settings)

    def python(self, code: str, **settings: Any) -> ContainerSpec:
        return self.spec("python", "-c", code, **settings)

    async def limits_hold(self) -> bool:
        return (await self.agent.report()).limits is Limits.ENFORCED

    async def start(self, spec: ContainerSpec) -> ContainerStatus:
        await self.agent.create(spec)
        return await self.agent.start(spec.container_id, spec.epoch)

    async def status(self, spec: ContainerSpec) -> ContainerStatus:
        return next(one for one in await self.agent.containers() if one.container_id == spec.container_id)

    async def output(self, spec: ContainerSpec) -> tuple[str, str]:
        """Everything a container prints, to its end."""
        streams = {"stdout": b"", "stderr": b""}
        cursor = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                page = await self.agent.read_log(spec.container_id, cursor, wait=PATIENCE)
                for chunk in page.chunks:
                    streams[chunk.stream] += chunk.data
                cursor = page.cursor
                if page.ended:
                    return streams["stdout"].decode(), streams["stderr"].decode()

    async def says(self, spec: ContainerSpec, words: str) -> str:
        """Wait until the container's standard output holds `words`."""
        seen, cursor = "", 0
        async with asyncio.timeout(PATIENCE):
            while words not in seen:
                page = await self.agent.read_log(spec.container_id, cursor, wait=PATIENCE)
                seen += b"".join(chunk.data for chunk in page.chunks if chunk.stream == "stdout").decode()
                cursor = page.cursor
                assert words in seen or not page.ended, f"ended without saying {words!r}: {seen!r}"
        return seen

    async def ended(self, spec: ContainerSpec, patience: float = PATIENCE) -> ExitReport:
        """Wait for a container's end."""
        watch = self.agent.watch()
        waiting = asyncio.ensure_future(anext(watch))
        async with asyncio.timeout(patience):
            while (status := await self.status(spec)).phase is not Phase.ENDED:
                await waiting
                waiting = asyncio.ensure_future(anext(watch))
        waiting.cancel()
        assert status.exit is not None
        return status.exit

    async def run(self, spec: ContainerSpec) -> Result:
        """Create, start, read all output, and return the end."""
        await self.start(spec)
        stdout, stderr = await self.output(spec)
        return Result(await self.ended(spec), stdout, stderr)

    async def exec(self, spec: ContainerSpec, *command: str, **settings: Any) -> Result:
        """Run a further process to its end."""
        process = await self.agent.exec(spec.container_id, ExecSpec(command=list(command), **settings))
        streams = {"stdout": b"", "stderr": b""}
        try:
            await process.close_stdin()
            async with asyncio.timeout(PATIENCE):
                async for stream, data in process.output():
                    streams[stream] += data
                return Result(await process.wait(), streams["stdout"].decode(), streams["stderr"].decode())
        finally:
            await process.close()

    async def clear(self) -> None:
        """Remove every container made here."""
        for spec in self.made:
            await self.agent.remove(spec.container_id, spec.epoch)
        self.made.clear()
