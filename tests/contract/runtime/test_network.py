"""Outbound network: a sandbox reaches out through a helper of its own, and still not the host's loopback."""

from __future__ import annotations

import socket

from tests.contract.runtime.bench import Bench


async def test_outbound_network_or_the_reason_why_not(walled: Bench) -> None:
    report = await walled.agent.report()
    if "outbound" not in report.networks:
        assert report.networks == ["none"]
        assert "apt install" in report.networks_reason or "chmod" in report.networks_reason
        return
    spec = walled.shell("tail -n +2 /proc/net/route; cat /etc/resolv.conf; echo up; sleep 60", network="outbound")
    await walled.start(spec)
    said = await walled.says(spec, "up\n")
    routes = [line.split() for line in said.splitlines() if "\t" in line]
    assert any(route[1] == "00000000" for route in routes), "there is no way out"
    assert "nameserver " in said
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        assert "refused" in (await walled.exec(spec, "python", "-c", probe)).stderr
    await walled.agent.stop(spec.container_id, 1, 0)
    await walled.ended(spec)


async def test_the_network_helper_ends_with_its_session(walled: Bench) -> None:
    report = await walled.agent.report()
    if "outbound" not in report.networks:
        assert report.networks_reason
        return
    spec = walled.shell("echo done", network="outbound")
    assert (await walled.run(spec)).stdout == "done\n"
    assert (await walled.run(walled.shell("echo next", network="outbound"))).stdout == "next\n"
