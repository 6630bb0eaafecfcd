"""Runtime `process`: no walls at all, for machines that cannot sandbox. One trusted user, loopback only."""

from __future__ import annotations

from madang.agent.keeper.plan import ContainerPlan
from madang.agent.runtimes.base import Host, Launch, variables
from madang.schemas.agent import NetworkMode


class ProcessRuntime:
    """Plain processes of the user who runs Madang, in the container's work directory."""

    name = "process"
    isolated = False

    def __init__(self, host: Host) -> None:
        self._host = host

    def networks(self) -> tuple[list[NetworkMode], str]:
        return ["outbound"], "without a sandbox every session has the host's own network"

    def plan(self, launch: Launch) -> ContainerPlan:
        spec = launch.spec
        work = str(launch.directory / "work")
        temporary = launch.directory / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        # Set last: what the user set cannot hide a session's processes from being found and ended.
        env = variables(launch, work, str(temporary)) | {"MADANG_CONTAINER_ID": spec.container_id}
        cgroups = self._host.cgroups
        return {
            "container": spec.container_id,
            "epoch": spec.epoch,
            "directory": str(launch.directory),
            "sandbox": None,
            "network": None,
            "confinement": {
                "identity": None,
                "cgroups": cgroups.directories(spec.container_id) if cgroups else [],
                "cpus": launch.cpus,
                "seccomp": None,
            },
            "process": {"argv": list(spec.command), "env": env, "cwd": work},
            "log_bytes": spec.log_bytes,
            "oom_file": cgroups.oom_file(spec.container_id) if cgroups else None,
            "marker": f"MADANG_CONTAINER_ID={spec.container_id}",
        }
