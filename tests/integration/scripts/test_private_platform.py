"""The demo runs to its end, and what it starts leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from scripts.private_platform import ROOT, PrivatePlatform


def test_a_private_platform_serves_and_leaves_no_process_and_no_file() -> None:
    with PrivatePlatform() as platform:
        assert httpx.get(f"{platform.url}/readyz").status_code == 200
        assert {process.name() for process in platform.processes()} >= {"postgres"}
        home = platform.data_dir.parent
    assert platform.wait_until_gone(10) == []
    assert not home.exists()


@pytest.mark.timeout(900)  # the first time it downloads and builds an environment
def test_the_demo_trains_shows_a_limit_and_stops_everything(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    command = [sys.executable, "-m", "scripts.demo", "--screenshot", str(picture)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    for job in ("small", "medium", "large"):
        assert f"{job} | accuracy 0." in finished.stdout
    assert "no process is left" in finished.stdout
    assert "accuracy" in picture.read_text()
