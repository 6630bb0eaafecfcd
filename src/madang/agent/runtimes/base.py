"""The port to a runtime, and what every runtime is told about a container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from madang.agent.cgroups import Cgroups
from madang.agent.devices.base import Attachment
from madang.agent.environments.store import Environment
from madang.agent.keeper.plan import ContainerPlan, Identity
from madang.schemas.agent import ContainerSpec, NetworkMode


@dataclass(frozen=True, slots=True)
class Host:
    """What a runtime may use of its node.

    Attributes:
        agent_dir: the agent's directory; runtimes keep their common files there.
        identity: the unprivileged host user of all sandboxes; None: the agent's own user.
        cgroups: control groups, or None where limits are only advisory.
    """

    agent_dir: Path
    identity: Identity | None
    cgroups: Cgroups | None


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a container.

    Attributes:
        spec: what was asked for.
        directory: the container's directory on the host, with `work/` in it.
        environment: what it runs in.
        cpus: processors it may run on.
        attachment: what lets it see its devices, and no others.
    """

    spec: ContainerSpec
    directory: Path
    environment: Environment
    cpus: list[int]
    attachment: Attachment


class Runtime(Protocol):
    """A way to wall in processes. Every implementation passes the conformance suite in tests/contract."""

    name: str
    isolated: bool  # whether containers cannot see the host and each other

    def networks(self) -> tuple[list[NetworkMode], str]:
        """The networks it offers, and why `outbound` is missing (empty when it is there)."""

    def plan(self, launch: Launch) -> ContainerPlan:
        """How the keeper has to start the container."""


def thread_variables(cpu: int) -> dict[str, str]:
    """Variables by which numeric libraries size their thread pools; `cpu` in millicores, rounded up to whole ones."""
    count = str(max(1, -(-cpu // 1000)))
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMEXPR_MAX_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "BLIS_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "GOMAXPROCS",
        "POLARS_MAX_THREADS",
        "JULIA_NUM_THREADS",
        "PYTHON_CPU_COUNT",
    )
    return dict.fromkeys(names, count)


def variables(launch: Launch, home: str, temporary: str) -> dict[str, str]:
    """The environment of every process of a container; what the user set wins."""
    spec = launch.spec
    own = {
        "HOME": home,
        "USER": "work",
        "LOGNAME": "work",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TMPDIR": temporary,
        "PYTHONUNBUFFERED": "1",  # output is live, not held back because it is a pipe
        **thread_variables(spec.cpu),
        **launch.environment.variables,
        **launch.attachment.variables,
        "MADANG_SESSION_ID": spec.session_id,
        "MADANG_CONTAINER_ID": spec.container_id,
    }
    return own | spec.variables
