"""Outbound network for a sandbox in its own network namespace: pasta or slirp4netns, run as the sandbox's user.

Both connect as an ordinary program of that user would, so no rule of the host changes. Neither lets the sandbox reach
the host's loopback.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from madang.agent.keeper.plan import Network

_PASTA_DNS: Final = "169.254.1.1"
_SLIRP_DNS: Final = "10.0.2.3"
_SEARCH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASTA: Final = (
    *("--config-net", "--no-map-gw", "--quiet", "--dns-forward", _PASTA_DNS),
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
)


class OutboundNetwork:
    """The best tool found on this host. `tool` is None when there is none, and `reason` says so."""

    def __init__(self) -> None:
        self.tool: str | None = None
        self.reason = ""
        self._path = ""
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
        """The address sandboxes send DNS queries to."""
        return _PASTA_DNS if self.tool == "pasta" else _SLIRP_DNS

    def plan(self, pid_file: Path) -> Network:
        """How to connect one sandbox."""
        if self.tool == "pasta":
            namespaces = ["--userns", "{userns}", "--netns", "{netns}"]
            argv = [self._path, *_PASTA, "--pid", str(pid_file), *namespaces]
            return {"argv": argv, "pid_file": str(pid_file), "daemonises": True}
        argv = [self._path, "--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd={ready}"]
        argv += ["--netns-type=path", "--userns-path={userns}", "{netns}", "tap0"]
        return {"argv": argv, "pid_file": str(pid_file), "daemonises": False}
