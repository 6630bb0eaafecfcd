"""What the keeper is told: the plan of a container or of a further process, as plain JSON."""

from __future__ import annotations

from typing import TypedDict


class Identity(TypedDict):
    """The host user and group a sandbox runs as."""

    uid: int
    gid: int


class Process(TypedDict):
    """A program to run. `argv[0]` is searched in PATH of `env`, inside the sandbox."""

    argv: list[str]
    env: dict[str, str]
    cwd: str


class Sandbox(TypedDict):
    """How to run bubblewrap.

    In `argv`, `{host:PATH}` becomes a place where the sandbox's user can reach PATH of the host; `{status}` and
    `{seccomp}` become the descriptors of its report and its filter.
    """

    argv: list[str]
    libraries: str | None  # a directory for the dynamic linker


class Network(TypedDict):
    """A helper that connects the sandbox's network.

    In `argv`, `{netns}`, `{userns}` and `{pid_file}` become paths of the sandbox's network namespace, of the user
    namespace that owns it and of `pid_file`, and `{ready}` a descriptor.
    """

    argv: list[str]
    pid_file: str
    log: str  # what it says
    daemonises: bool  # ready when it exits with 0, its daemon's id in `pid_file`; else when it writes to `{ready}`


class Confinement(TypedDict):
    """What every process of a container is put under."""

    identity: Identity | None  # None: stay who the keeper is
    cgroups: list[str]  # cgroup directories to join
    cpus: list[int]  # processors it may run on; empty: all
    seccomp: str | None  # file with the BPF program


class ContainerPlan(TypedDict):
    """Everything the keeper needs to start one container."""

    container: str
    epoch: int
    directory: str  # holds state.json, exit.json and log/
    sandbox: Sandbox | None  # None: no walls
    network: Network | None
    confinement: Confinement
    process: Process
    log_bytes: int
    oom_file: str | None  # a file with a line `oom_kill N`
    marker: str  # NAME=value in the environment of all processes without walls, to find them; else empty


class ExecPlan(TypedDict):
    """A further process in a running container."""

    process: Process
    terminal: bool
    rows: int
    columns: int


class ContainerRecord(TypedDict):
    """state.json: what is needed to know and to kill a container after the keeper is gone."""

    container: str
    epoch: int
    keeper: int
    started_at: float  # seconds since the epoch; 0 until it runs
    sandbox_pid: int
    sandbox_born: int  # process_start_time
    main_pid: int
    main_born: int


class ExitRecord(TypedDict):
    """exit.json: how a container ended. `reason` is a value of domain.session.ExitReason."""

    container: str
    epoch: int
    reason: str
    code: int | None
    signal: int | None
    message: str
    started_at: float
    ended_at: float
