"""Traces are read as they are, and what is wrong with them is told by file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.domain.devices import Claim
from madang.domain.errors import InvalidInput
from madang.domain.session import Layout, SessionKind
from madang.scheduling.simulate.trace import parse_jobs, parse_nodes, read_trace
from tests.unit.scheduling.simulate.traces import HEADER, NODES, openb, trace


def test_the_columns_of_openb_are_read() -> None:
    read = trace(
        "a,1500,1024,1,300,A100|T4,10,40,LS,Running,15",
        "b,1000,512,2,1000,,20,50,BE,Failed,",
        "c,1000,512,0,0,,30,90,BE,Running,",
        columns="qos,pod_phase,scheduled_time",
    )
    a, b, c = read.jobs
    assert a.request.slots == {"cpu": 1500, "mem": 1 << 30}
    assert (a.request.claim, b.request.claim, c.request.claim) == (
        Claim("cuda", 1, 300, ("A100", "T4")),
        Claim("cuda", 2, 1000),
        None,
    )
    assert [job.seconds for job in read.jobs] == [25, 30, 60]  # from when it was placed, else from when it came
    assert [job.request.kind for job in read.jobs] == [SessionKind.INTERACTIVE, SessionKind.BATCH, SessionKind.BATCH]
    assert [job.succeeded for job in read.jobs] == [True, False, True]
    assert [device.model for device in read.nodes[0].devices["cuda"]] == ["A100", "A100"]
    assert read.devices == 4000


def test_what_only_madang_knows_is_read_where_it_is_given() -> None:
    [first, second] = trace(
        "a,1000,512,1,1000,,0,9,,,,,,,,,,,,",
        "b,1000,512,1,1000,,0,9,kim,vision,3,7.5,a,a,2,spread,interactive,true,99.5,5",
        columns="user,project,priority,max_seconds,after,after_ok,size,layout,kind,preemptible,deadline,start_at",
    ).jobs
    request = second.request
    assert (request.user, request.project, request.priority, request.max_seconds) == ("kim", "vision", 3, 7.5)
    assert (request.size, request.layout, request.kind) == (2, Layout.SPREAD, SessionKind.INTERACTIVE)
    assert (second.after, second.after_ok, second.preemptible) == (("a",), ("a",), True)
    assert (request.deadline, request.start_at) == (99.5, 5)
    assert (first.request.size, first.request.layout, first.preemptible, first.after) == (1, Layout.ANY, True, ())


def test_the_fewest_columns_are_enough() -> None:
    [job] = parse_jobs(["name,cpu_milli,memory_mib\n", "a,1000,1\n"], "jobs.csv")
    assert (job.request.claim, job.request.arrived, job.seconds) == (None, 0, None)


def test_nodes_may_have_gpus_of_several_models_or_none() -> None:
    header = "sn,cpu_milli,memory_mib,gpu,model\n"
    mixed, bare = parse_nodes([header, "a,1000,1,2,A100|T4\n", "b,1000,1,0,\n"], "nodes.csv")
    assert [device.model for device in mixed.devices["cuda"]] == ["A100", "T4"]
    assert bare.devices == {}


@pytest.mark.parametrize(
    ("line", "columns", "said"),
    [
        ("x,many,1,0,0,,0,1", "", "jobs.csv, line 3, column cpu_milli: 'many' is not a number"),
        ("x,-1,1,0,0,,0,1", "", "jobs.csv, line 3, column cpu_milli: '-1' is not a whole number of at least 0"),
        ("x,nan,1,0,0,,0,1", "", "column cpu_milli: 'nan' is not a number"),
        ("x,1,1,1,1200,,0,1", "", "column gpu_milli: '1200' is not a whole number from 0 to 1000"),
        ("x,1,1,2,500,,0,1", "", "column gpu_milli: 500 with num_gpu 2"),
        ("x,1,1,0,0,,5,1", "", "column deletion_time: 1 is before the job began at 5"),
        ("a,1,1,0,0,,0,1", "", "column name: a has been on a line before"),
        (",1,1,0,0,,0,1", "", "column name: is empty"),
        ("x,1,1,0,0,,0", "", "jobs.csv, line 3: has 7 columns where the first line names 8"),
        ("x,1,1,0,0,,0,1,sideways", "layout", "column layout: 'sideways' is not known; write one of any, one-node"),
        ("x,1,1,0,0,,0,1,maybe", "preemptible", "column preemptible: 'maybe' is neither true nor false"),
        ("x,1,1,0,0,,0,1,0", "max_seconds", "column max_seconds: '0' is no length of time"),
        ("x,1,1,0,0,,0,1,y", "after", "jobs.csv, line 3, column after: there is no job y"),
        ("x,1,1,0,0,,0,1,x", "after_ok", "jobs.csv, line 3, column after_ok: these jobs wait for each other: x -> x"),
        ('x,1,1,0,0,"a"b,0,1', "", "jobs.csv, line 3: is no CSV"),
    ],
)
def test_a_bad_line_is_told_with_its_place(line: str, columns: str, said: str) -> None:
    good = "a,1,1,0,0,,0,1" + "," * bool(columns)
    with pytest.raises(InvalidInput) as error:
        trace(good, line, columns=columns)
    assert said in error.value.message


def test_jobs_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"line 2, column after: these jobs wait for each other: a -> c -> b -> a"):
        trace("a,1,1,0,0,,0,1,c", "b,1,1,0,0,,0,1,a", "c,1,1,0,0,,0,1,b", columns="after")


def test_files_that_are_no_trace_are_refused(tmp_path: Path) -> None:
    nodes, jobs = tmp_path / "nodes.csv", tmp_path / "jobs.csv"
    nodes.write_text(NODES)
    jobs.write_bytes(HEADER.encode() + b"\n\xff\xfe\n")
    with pytest.raises(InvalidInput, match=r"jobs.csv, line 2: is not in UTF-8"):
        read_trace(nodes, jobs)
    jobs.write_text("id,cpu\n")
    with pytest.raises(InvalidInput, match=r"jobs.csv, line 1: has no column name"):
        read_trace(nodes, jobs)
    jobs.write_text(HEADER + "\n")
    with pytest.raises(InvalidInput, match=r"jobs.csv: holds no job"):
        read_trace(nodes, jobs)
    nodes.write_text("")
    with pytest.raises(InvalidInput, match=r"nodes.csv, line 1: has no column sn"):
        read_trace(nodes, jobs)
    nodes.write_text(NODES + "n1,1,1,0,\n")
    with pytest.raises(InvalidInput, match=r"nodes.csv, line 4, column sn: n1 has been on a line before"):
        read_trace(nodes, jobs)


def test_what_if_whole_gpus_were_shared() -> None:
    whole, part, two = trace("a,1,1,1,1000,,0,1", "b,1,1,1,300,,0,1", "c,1,1,2,1000,,0,1").sharing(500).jobs
    assert [job.devices for job in (whole, part, two)] == [500, 300, 2000]


def test_what_if_jobs_came_more_densely() -> None:
    dense = trace("a,1,1,0,0,,100,110,", "b,1,1,0,0,,200,230,300", columns="deadline").denser(2).jobs
    assert [job.request.arrived for job in dense] == [100, 150]
    assert [job.seconds for job in dense] == [10, 30]
    assert dense[1].request.deadline == 200


def test_the_real_trace_is_read() -> None:
    real = openb()
    assert (len(real.nodes), real.devices, len(real.jobs)) == (1213, 6_212_000, 8152)
