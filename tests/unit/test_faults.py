"""Write points count, and kill at the one that was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_CODE = "from madang.faults import write_point\nfor name in 'abc': write_point(name)\nprint('end')"


def _run(fault: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MADANG_FAULT": fault}
    return subprocess.run([sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, check=False)


def test_points_are_counted(tmp_path: Path) -> None:
    assert _run(f"count:{tmp_path / 'points'}").stdout == "end\n"
    assert (tmp_path / "points").read_text().split() == ["a", "b", "c"]


@pytest.mark.parametrize(("at", "killed"), [("1", True), ("3", True), ("4", False), (None, False)])
def test_the_process_is_killed_at_the_point_asked_for(tmp_path: Path, at: str | None, killed: bool) -> None:
    if at is not None:
        (tmp_path / "armed").write_text(at)
    assert _run(f"kill:{tmp_path / 'armed'}").returncode == (-signal.SIGKILL if killed else 0)


def test_without_a_fault_nothing_happens() -> None:
    assert _run("").stdout == "end\n"
