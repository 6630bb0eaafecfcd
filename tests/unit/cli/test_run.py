"""Exit codes and options of `madang run`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from madang.cli.output import age, human_bytes
from madang.cli.run import _download, _size, explain
from madang.domain.errors import InvalidInput, UnsafePath
from madang.domain.ids import new_id
from madang.domain.session import ExitReason, SessionKind, SessionState
from madang.schemas.api import Session, SessionExit

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def ended(end: SessionExit | None, state: SessionState = SessionState.FAILED) -> Session:
    return Session(
        id=new_id(),
        name="job",
        owner="admin",
        kind=SessionKind.BATCH,
        state=state,
        reason="why",
        environment="python",
        command=["x"],
        variables={},
        slots={"cpu": 1000, "mem": 64 << 20},
        processes=1024,
        network="none",
        node="n",
        exit=end,
        created_at=NOW,
        started_at=NOW,
        ended_at=NOW,
    )


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (SessionExit(reason=ExitReason.EXITED, code=0), 0, ""),
        (SessionExit(reason=ExitReason.EXITED, code=3), 3, ""),
        (SessionExit(reason=ExitReason.SIGNAL, signal=11), 139, "SIGSEGV"),
        (SessionExit(reason=ExitReason.OOM, signal=9), 137, "out of memory: the session used more than its 64m"),
        (SessionExit(reason=ExitReason.STOPPED, signal=15), 143, "stopped"),
        (SessionExit(reason=ExitReason.STOPPED, code=0), 0, "stopped"),
        (SessionExit(reason=ExitReason.LAUNCH, message="no sandbox"), 125, "no sandbox"),
        (SessionExit(reason=ExitReason.LOST, message="node gone"), 125, "node gone"),
        (None, 125, "why"),
    ],
)
def test_the_exit_code_is_the_jobs_or_says_whose_fault_it_was(
    end: SessionExit | None, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert explain(ended(end)) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "remote", "local"),
    [("out/", "out", "out"), ("a/b", "a/b", "a/b"), ("out:results", "out", "results"), (".:all", "", "all")],
)
def test_where_a_download_goes(written: str, remote: str, local: str) -> None:
    assert _download(written) == (remote, Path(local))


@pytest.mark.parametrize("written", ["/etc/passwd", "../secret", "a/../../b"])
def test_a_download_stays_in_the_work_directory(written: str) -> None:
    with pytest.raises(UnsafePath):
        _download(written)


def test_the_largest_directory_is_read() -> None:
    assert _size("2m") == 2 << 20
    with pytest.raises(InvalidInput, match="max-size"):
        _size("huge")


def test_sizes_and_ages_for_people() -> None:
    assert [human_bytes(size) for size in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    moments = [datetime(2026, 1, 1, 23, 59, 30, tzinfo=UTC), datetime(2026, 1, 1, 20, tzinfo=UTC), None]
    assert [age(moment, NOW) for moment in moments] == ["30s", "4h", ""]
