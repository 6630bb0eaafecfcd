"""Outbound network for a sandbox in its own network namespace: pasta or slirp4netns, run as the sandbox's user.

Both connect as an ordinary program of that user would, so no rule of the host changes. Neither lets the sandbox reach
the host's loopback.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from madang.agent.keeper.plan import Network

_TUNNEL: Final = Path("/dev/net/tun")
_PASTA_DNS: Final = "169.254.1.1"
_SLIRP_DNS: Final = "10.0.2.3"
_SEARCH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASTA: Final = (
    *("--config-net", "--no-map-gw", "--quiet", "--dns-forward", _PASTA_DNS),
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
)


def _tunnel_problem(other_user: bool) -> str:
    """Why the tunnel device cannot be used; empty when it can. Everybody may open it on most systems."""
    try:
        mode = _TUNNEL.stat().st_mode
    except OSError:
        return f"there is no {_TUNNEL}; `modprobe tun` brings it"
    if (mode & 0o006 == 0o006) if other_user else os.access(_TUNNEL, os.R_OK | os.W_OK):
        return ""
    return f"{_TUNNEL} cannot be opened by the user of sandboxes; `chmod 666 {_TUNNEL}` gives it its usual mode"


class OutboundNetwork:
    """The best tool found on this host. `tool` is None when there is none, and `reason` says so."""

    def __init__(self, *, other_user: bool) -> None:
        """`other_user`: the tool will not run as ourselves but as the unprivileged user of all sandboxes."""
        self.tool: str | None = None
        self.reason = _tunnel_problem(other_user)
        self._path = ""
        if self.reason:
            return
        for tool in ("pasta", "slirp4netns"):
            found = shutil.which(tool, path=_SEARCH)
            if found is not None:
                self.tool, self._path = tool, found
                return
        self.reason = (
            "neither pasta nor slirp4netns is installed; `apt install passt` offers outbound network to sessions"
        )

    @property
    def nameserver(self) -> str:
        """The address sandboxes send DNS queries to; empty without a tool."""
        return {"pasta": _PASTA_DNS, "slirp4netns": _SLIRP_DNS}.get(self.tool or "", "")

    def plan(self, directory: Path) -> Network:
        """How to connect one sandbox."""
        pid_file, log = str(directory / "network.pid"), str(directory / "network.log")
        if self.tool == "pasta":
            namespaces = ["--userns", "{userns}", "--netns", "{netns}"]
            argv = [self._path, *_PASTA, "--pid", "{pid_file}", *namespaces]
            return {"argv": argv, "pid_file": pid_file, "log": log, "daemonises": True}
        argv = [self._path, "--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd={ready}"]
        argv += ["--netns-type=path", "--userns-path={userns}", "{netns}", "tap0"]
        return {"argv": argv, "pid_file": pid_file, "log": log, "daemonises": False}
