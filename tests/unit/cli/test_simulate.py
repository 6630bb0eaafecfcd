"""`madang simulate` needs no server, says what came of it, and what is wrong with what it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from madang.cli.exporting import job_rows, node_rows, write
from madang.cli.main import app
from madang.domain.errors import InvalidInput
from madang.domain.session import Layout, SessionKind, SessionState
from madang.scheduling.simulate.trace import JOB_COLUMNS, NODE_COLUMNS, read_trace
from madang.schemas.agent import NodeReport
from madang.schemas.api import DeviceState, NodeState, Session

NODES = "sn,cpu_milli,memory_mib,gpu,model\nn,8000,8192,2,A100\n"
JOBS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,user
a,1000,1024,2,1000,0,100,ann
b,1000,1024,1,1000,10,60,bob
"""
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "nodes.csv").write_text(NODES)
    (tmp_path / "jobs.csv").write_text(JOBS)
    return ["--nodes", str(tmp_path / "nodes.csv"), "--jobs", str(tmp_path / "jobs.csv")]


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *arguments])


def test_a_replay_is_a_table(files: list[str]) -> None:
    done = simulate(*files, "--queue", "fifo", "--placement", "pack")
    assert done.exit_code == 0
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert {"jobs 2", "done 2", "wait, longest 1m30s", "first arrival to last end 2m30s"} <= lines
    assert "gave way to others" not in done.stdout  # nobody did, and nobody may


def test_a_replay_for_programs(files: list[str]) -> None:
    found = json.loads(simulate(*files, "--json").stdout)
    assert (found["queue"], found["placement"], found["seeds"], found["devices"]) == ("drf", "fgd", [0], 2)
    assert (found["makespan"], found["wait_max"], found["wait_mean"], found["done"]) == (150, 90, 45, 2)
    keys = {"jct_mean", "slowdown_p95", "allocation", "utilisation", "fragmentation", "fairness", "wait_p95"}
    assert keys <= found.keys()
    [run] = found["runs"]
    assert run["seed"] == 0
    assert run["course"][0] == {"time": 0, "allocation": 1, "cpu": 0.125, "memory": 0.125, "waiting": 0}


def test_several_seeds_are_averaged(files: list[str]) -> None:
    found = json.loads(simulate(*files, "--json", "--seed", "40", "--seeds", "3").stdout)
    assert found["seeds"] == [run["seed"] for run in found["runs"]] == [40, 41, 42]
    assert "MEAN" in simulate(*files, "--seeds", "2").stdout


def test_a_filling_names_where_it_stood(files: list[str]) -> None:
    found = json.loads(simulate(*files, "--fill", "1.3", "--json").stdout)
    assert (found["allocation_at_100"], found["allocation_at_130"]) == (1, 1)
    assert found["runs"][0]["curve"][-1]["arrived"] >= 1.3
    assert "GPUs given away at 130% asked for" in simulate(*files, "--fill", "1.3").stdout


def test_what_if_gpus_had_been_shared(files: list[str]) -> None:
    given = ["--queue", "fifo", "--json"]
    assert json.loads(simulate(*files, *given, "--share", "0.5").stdout)["allocation"] == 1
    assert json.loads(simulate(*files, *given, "--share", "0.5").stdout)["utilisation"] == (100 + 50 * 0.25) / 150


def test_it_is_drawn(files: list[str], tmp_path: Path) -> None:
    for name, more in (("replay.png", []), ("fill.svg", ["--fill", "1.3", "--seeds", "2"])):
        assert simulate(*files, "--plot", str(tmp_path / name), *more).exit_code == 0
        assert (tmp_path / name).stat().st_size > 4000
    done = simulate(*files, "--plot", str(tmp_path / "out.xyz"))
    assert isinstance(done.exception, InvalidInput)
    assert "such as out.png" in done.exception.message


def test_without_matplotlib_it_says_what_to_install(files: list[str], tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv = ['madang', *sys.argv[1:]]\n"
        "from madang.cli.main import main; main()"
    )
    command = [sys.executable, "-c", program, "simulate", *files, "--plot", str(tmp_path / "out.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"MADANG_LANG": "en"})
    assert done.returncode == 1
    assert done.stderr == "error: --plot needs matplotlib; install it with: pip install 'madang[plot]'\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--queue", "alphabet"], "--queue: 'alphabet' is not known; choose one of fifo, lifo, drf, fair-share."),
        (["--placement", "best"], "--placement: 'best' is not known; choose one of pack, spread, fgd."),
    ],
)
def test_what_cannot_be_meant_is_refused(files: list[str], more: list[str], said: str) -> None:
    done = simulate(*files, *more)
    assert isinstance(done.exception, InvalidInput)
    assert done.exception.message == said


@pytest.mark.parametrize("more", [["--fill", "nan"], ["--load", "inf"], ["--share", "2"], ["--seeds", "0"]])
def test_numbers_out_of_bounds_are_refused(files: list[str], more: list[str]) -> None:
    done = simulate(*files, *more)
    assert done.exit_code == 2
    assert more[0] in done.stderr


def test_it_says_what_it_needs(files: list[str]) -> None:
    done = simulate(*files[:2])
    assert isinstance(done.exception, InvalidInput)
    assert "--nodes NODES.csv --jobs JOBS.csv" in done.exception.message


def node(name: str, *devices: tuple[str, str], cpu: int = 8000) -> NodeState:
    return NodeState(
        name=name,
        state="ready",
        slots={"cpu": cpu, "mem": 8 << 30},
        used={},
        sessions=0,
        report=NodeReport(
            name=name,
            architecture="x86_64",
            system="Linux",
            slots={},
            runtime="process",
            runtime_reason="",
            isolated=False,
            limits="advisory",
            limits_reason="",
            networks=[],
            networks_reason="",
            version="1",
        ),
        last_seen_at=NOW,
        devices=[
            DeviceState(kind=kind, index=at, id=f"{at}", model=model, mem=0, used=0, sessions=[])
            for at, (kind, model) in enumerate(devices)
        ],
    )


def session(name: str, slots: dict[str, int], ran: tuple[int, int | None] | None, **more: object) -> Session:
    """`ran`: minutes after its creation at which it started and ended."""
    started, ended = ran or (None, None)
    return Session.model_validate(
        {
            "id": name,
            "name": "train",
            "owner": "ann",
            "kind": SessionKind.BATCH,
            "state": SessionState.SUCCEEDED if ended else SessionState.RUNNING,
            "reason": "",
            "environment": "python",
            "command": ["x"],
            "variables": {},
            "slots": slots,
            "processes": 1,
            "network": "none",
            "node": "n",
            "exit": None,
            "created_at": NOW - timedelta(hours=2),
            "started_at": None if started is None else NOW + timedelta(hours=-2, minutes=started),
            "ended_at": None if ended is None else NOW + timedelta(hours=-2, minutes=ended),
            **more,
        }
    )


def test_history_is_read_back_as_it_was(tmp_path: Path) -> None:
    a, b, c, d = (f"0190000000000000000000000{letter}" for letter in "abcd")
    sessions = [
        session(a, {"cpu": 1500, "mem": 1 << 30, "cuda.shares": 300}, (1, 11), models=["A100", "T4"]),
        session(
            b,
            {"cpu": 1000, "mem": 1, "cuda.device": 2},
            (30, None),
            size=2,
            layout=Layout.SPREAD,
            priority=5,
            max_seconds=90.5,
            after=[a, d],
            after_ok=[a],
            kind=SessionKind.INTERACTIVE,
            deadline=NOW,
        ),
        session(c, {"cpu": 1000, "mem": 1 << 20}, (0, 1), state=SessionState.STOPPED, preemptible=True),
        session(d, {"cpu": 1000, "mem": 1}, None, state=SessionState.CANCELLED),
    ]
    nodes = [node("n2", ("cuda", "A100"), ("cuda", "T4")), node("n1", ("cuda", "A100"), ("cuda", "A100")), node("n0")]
    write(tmp_path / "n.csv", NODE_COLUMNS, node_rows(nodes), force=False)
    write(tmp_path / "j.csv", JOB_COLUMNS, job_rows(sessions, NOW), force=False)
    trace = read_trace(tmp_path / "n.csv", tmp_path / "j.csv")
    assert [one.name for one in trace.nodes] == ["n0", "n1", "n2"]
    assert [device.model for device in trace.nodes[2].devices["cuda"]] == ["A100", "T4"]
    assert trace.nodes[0].capacity == {"cpu": 8000, "mem": 8 << 30}
    first, second, third = trace.jobs
    assert (first.request.id, first.seconds, first.devices, first.request.user) == (a, 600, 300, "ann")
    assert first.request.claim is not None
    assert first.request.claim.models == ("A100", "T4")
    assert first.request.arrived == (NOW - timedelta(hours=2)).timestamp()
    assert (second.seconds, second.devices, second.after, second.after_ok) == (90 * 60, 4000, (a,), (a,))
    assert (second.request.layout, second.request.priority, second.request.max_seconds) == (Layout.SPREAD, 5, 90.5)
    assert (second.request.kind, second.request.deadline) == (SessionKind.INTERACTIVE, NOW.timestamp())
    assert (third.succeeded, third.preemptible, first.preemptible) == (False, True, False)


def test_files_are_not_written_over_unless_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    write(path, NODE_COLUMNS, [], force=False)
    with pytest.raises(InvalidInput, match="is there already"):
        write(path, NODE_COLUMNS, [], force=False)
    write(path, NODE_COLUMNS, node_rows([node("n")]), force=True)
    assert path.read_text().count("\n") == 2


def test_a_node_that_a_trace_cannot_tell_is_named() -> None:
    with pytest.raises(InvalidInput, match="Node n has devices of several kinds"):
        node_rows([node("n", ("cuda", "A100"), ("tpu", "v5e"))])
