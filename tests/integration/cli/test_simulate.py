"""The history of a real platform, written as a trace and replayed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.integration.cli.conftest import Up


def test_what_ran_here_can_be_simulated(up: Up, tmp_path: Path) -> None:
    nodes, jobs = str(tmp_path / "nodes.csv"), str(tmp_path / "jobs.csv")
    for name in ("one", "two", "three"):
        assert up.job("true", options=("--name", name, "--max-time", "1h")).returncode == 0
    done = up.run("simulate", "export", "--nodes", nodes, "--jobs", jobs, "--since", "1h")
    assert done.returncode == 0, done.stderr
    with Path(jobs).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 3
    assert {row["user"] for row in rows} == {"admin"}
    assert {"3600"} <= {row["max_seconds"] for row in rows}
    simulated = up.run("simulate", "--nodes", nodes, "--jobs", jobs, "--json")
    assert simulated.returncode == 0, simulated.stderr
    found = json.loads(simulated.stdout)
    assert (found["nodes"], found["jobs"], found["done"]) == (1, len(rows), len(rows))
    again = up.run("simulate", "export", "--nodes", nodes, "--jobs", jobs)
    assert again.returncode == 2
    assert b"is there already" in again.stderr


def test_a_group_without_nodes_has_no_history(up: Up, tmp_path: Path) -> None:
    done = up.run(
        "simulate", "export", "--nodes", str(tmp_path / "n"), "--jobs", str(tmp_path / "j"), "--group", "none"
    )
    assert done.returncode == 2
    assert b"Resource group none has no nodes" in done.stderr
    assert not list(tmp_path.iterdir())
