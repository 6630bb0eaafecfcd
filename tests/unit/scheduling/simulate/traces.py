"""Small traces, written as people would, and the real one where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from madang.scheduling.simulate.trace import Trace, parse_jobs, parse_nodes, read_trace

NODES = """\
sn,cpu_milli,memory_mib,gpu,model
n1,8000,8192,2,A100
n2,8000,8192,2,T4
"""
HEADER = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time"


def trace(*jobs: str, columns: str = "", nodes: str = NODES) -> Trace:
    """A trace of lines under HEADER and more columns."""
    header = f"{HEADER},{columns}" if columns else HEADER
    return Trace(
        parse_nodes(nodes.splitlines(keepends=True), "nodes.csv"),
        parse_jobs([f"{line}\n" for line in (header, *jobs)], "jobs.csv"),
    )


def one_gpu(*lines: str, columns: str = "") -> Trace:
    """Jobs that each take all of the one GPU there is; a line is `name,arrival,end` and what further columns say."""
    written = []
    for line in lines:
        name, rest = line.split(",", 1)
        written.append(f"{name},1000,1024,1,1000,,{rest}")
    return trace(*written, columns=columns, nodes="sn,cpu_milli,memory_mib,gpu,model\nn,8000,8192,1,A100\n")


def openb() -> Trace:
    """The real trace; skips the test where it is not at hand."""
    beside = Path(__file__).parents[5] / "shared" / "data" / "openb"
    place = Path(os.environ.get("MADANG_OPENB") or beside)
    nodes, jobs = place / "openb_node_list_gpu_node.csv", place / "openb_pod_list_default.csv"
    if not nodes.exists() or not jobs.exists():
        pytest.skip("the openb trace is not here; name its folder in MADANG_OPENB")
    return read_trace(nodes, jobs)
