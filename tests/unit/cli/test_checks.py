"""The doctor says what is wrong and what to do."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from madang.agent import probe
from madang.agent.devices.cuda import CudaDevices
from madang.agent.devices.nvml import GPU_IS_LOST
from madang.agent.devices.plugins import load_plugins
from madang.cli import checks
from madang.cli.checks import Level, Place, look
from tests.device_trees import nvidia_tree
from tests.unit.cli.test_main import madang


def place(data_dir: Path, port: int = 0) -> Place:
    return Place(data_dir=data_dir, host="127.0.0.1", port=port, own_database=False)


def test_a_port_that_somebody_else_has_fails(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finding = checks._port(place(data_dir, taken.getsockname()[1]))
    assert finding.level is Level.FAIL
    assert "--port" in finding.advice


def test_too_little_disk_fails_and_little_warns(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in (("_DISK_FAIL", Level.FAIL), ("_DISK_WARN", Level.WARN)):
        with monkeypatch.context() as patch:
            patch.setattr(checks, limit, 1 << 62)
            assert checks._disk(place(data_dir)).level is expected


def test_a_data_directory_that_is_a_file_fails(data_dir: Path) -> None:
    (data_dir / "file").write_text("")
    assert checks._data_dir(place(data_dir / "file")).level is Level.FAIL


def test_a_probe_that_breaks_hides_no_other(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(identity: object) -> str:
        raise OSError("no namespaces today")

    monkeypatch.setattr(probe, "bubblewrap_problem", broken)
    findings = {finding.name: finding for finding in look(place(data_dir))}
    assert "no namespaces today" in findings["sandbox"].detail
    assert findings["uv"].level is Level.OK


def test_pretended_gpus_are_named_as_such(data_dir: Path) -> None:
    finding = checks._gpu(replace(place(data_dir), mock_gpus="4xA100,2xT4"))
    assert (finding.level, finding.detail) == (Level.OK, "cuda: 4x A100 (mock), 2x T4 (mock)")


def test_devices_that_cannot_be_used_are_told_beside_those_that_can(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = nvidia_tree(tmp_path)
    nvml.gpus[0].failure = GPU_IS_LOST
    monkeypatch.setattr(checks, "load_plugins", lambda mocks: ([CudaDevices(tmp_path, nvml)], []))
    finding = checks._gpu(place(data_dir))
    assert finding.level is Level.WARN
    assert finding.detail.startswith("cuda: 3x A100; NVIDIA GPUs: GPU 0 has fallen off the bus")
    assert finding.advice


def test_a_machine_without_gpus_is_told_what_was_looked_for(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "load_plugins", lambda mocks: load_plugins(mocks, tmp_path))
    finding = checks._gpu(place(data_dir))
    assert finding.level is Level.OK
    assert "no NVIDIA driver" in finding.detail
    assert "no AMD compute driver" in finding.detail
    assert "no TPU" in finding.detail


def test_the_command_answers_in_json_and_by_exit_code(data_dir: Path) -> None:
    good = madang("doctor", "--json", "--port", "0", MADANG_DATA_DIR=str(data_dir))
    report = json.loads(good.stdout)
    assert report["can_start"] is (good.returncode == 0)
    assert {check["name"] for check in report["checks"]} >= {"sandbox", "limits", "disk", "network", "gpu", "uv"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = madang("doctor", "--port", str(taken.getsockname()[1]), MADANG_DATA_DIR=str(data_dir))
    assert bad.returncode == 1
    assert "cannot start" in bad.stdout
