"""Whatever a session puts into an archive, nothing of it lands outside of the directory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from madang.domain.errors import InvalidInput, UnsafePath
from madang.sdk.unpack import unpack, unpack_archive


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def archive(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for item in members:
            info, data = item if isinstance(item, tuple) else (item, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def test_files_directories_and_links_inside(tmp_path: Path) -> None:
    result = unpack_archive(
        archive(
            member("./"),
            member("out/", tarfile.DIRTYPE),
            (member("out/a", mode=0o6755), b"data"),
            (member("new/deep/b", mode=0o000), b""),
            member("out/link", tarfile.SYMTYPE, "../new/deep"),
            member("out/hard", tarfile.LNKTYPE, "out/a"),
        ),
        tmp_path / "target",
    )
    root = tmp_path / "target"
    assert result.files == ["out/a", "new/deep/b", "out/link", "out/hard"]
    assert result.skipped == []
    assert (root / "out/a").read_bytes() == (root / "out/hard").read_bytes() == b"data"
    assert (root / "out/a").stat().st_ino != (root / "out/hard").stat().st_ino
    assert stat.S_IMODE((root / "out/a").stat().st_mode) == 0o755
    assert (root / "out/link").resolve() == root / "new/deep"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a/b/../../../x"])
def test_names_that_leave_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePath):
        unpack_archive(archive((member(name), b"x")), tmp_path / "in")
    assert [path.name for path in tmp_path.rglob("x")] == []


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../x", "a/../../x", "a/..", ""])
def test_links_that_leave_are_left_out(tmp_path: Path, target: str) -> None:
    result = unpack_archive(archive(member("link", tarfile.SYMTYPE, target)), tmp_path / "in")
    assert result.skipped == ["link"]
    assert list((tmp_path / "in").iterdir()) == []


def test_devices_pipes_and_hard_links_to_elsewhere_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = unpack_archive(
        archive(
            member("device", tarfile.CHRTYPE),
            member("block", tarfile.BLKTYPE),
            member("pipe", tarfile.FIFOTYPE),
            member("hard", tarfile.LNKTYPE, "not/there"),
            member("sym", tarfile.SYMTYPE, "inside"),
            member("hardsym", tarfile.LNKTYPE, "sym"),
        ),
        tmp_path / "in",
    )
    assert result.skipped == ["device", "block", "pipe", "hard", "hardsym"]
    with pytest.raises(UnsafePath):
        unpack_archive(archive(member("hard", tarfile.LNKTYPE, "../../etc/passwd")), tmp_path / "in")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    target = tmp_path / "in"
    target.mkdir()
    (target / "was-here").symlink_to(outside)
    (target / "file").symlink_to(outside / "kept")
    with pytest.raises(UnsafePath, match="was-here"):
        unpack_archive(archive((member("was-here/x"), b"x")), target)
    with pytest.raises(UnsafePath, match="'a'"):
        unpack_archive(archive(member("a", tarfile.SYMTYPE, "b"), (member("a/x"), b"x")), target)
    unpack_archive(archive((member("file"), b"new")), target)
    assert (target / "file").read_text() == "new"
    assert not (target / "file").is_symlink()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"kept": "kept"}


def test_what_is_no_archive_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    for data in (b"nonsense" * 200, archive((member("a"), b"x" * 5000)).getvalue()[:3000]):
        with pytest.raises(InvalidInput, match="whole tar archive"):
            unpack_archive(io.BytesIO(data), tmp_path)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(InvalidInput, match="in the place of"):
        unpack_archive(archive((member("a"), b"x")), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_an_interrupt_ends_it_and_leaves_no_half_file(tmp_path: Path) -> None:
    data = archive((member("whole"), b"x"), (member("half"), b"x" * 100_000)).getvalue()
    reached = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield data[:40_000]
        reached.set()
        await asyncio.Event().wait()

    work = asyncio.create_task(unpack(stalling(), tmp_path))
    await reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert set(os.listdir(tmp_path)) <= {"whole"}  # noqa: PTH208


_PART = st.sampled_from(["a", "b", "..", ".", "", "link"])
_PATH = st.lists(_PART, min_size=1, max_size=4).map("/".join)
_KIND = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=st.lists(st.tuples(_PATH, _KIND, _PATH), max_size=6))
@example(members=[("a", tarfile.SYMTYPE, "a//a")])
def test_no_archive_writes_outside(
    members: list[tuple[str, bytes, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("base")
    (base / "a").write_text("outside")
    root = base / "root"
    root.mkdir()
    made = [
        (member(name, kind, link), b"x" if kind == tarfile.REGTYPE else b"") for name, kind, link in members if name
    ]
    with contextlib.suppress(UnsafePath, InvalidInput):
        unpack_archive(archive(*made), root)
    assert sorted(path.name for path in base.iterdir()) == ["a", "root"]
    assert (base / "a").read_text() == "outside"
    for directory, folders, files in os.walk(root):
        for name in [*folders, *files]:
            assert not name.startswith(".") or name in (".", "..")
            path = Path(directory) / name
            if path.is_symlink() and not _leads_in_a_circle(path):
                assert Path(os.path.realpath(path)).is_relative_to(root)


def _leads_in_a_circle(path: Path) -> bool:
    """Then there is nothing where it leads, and `realpath` makes up something."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
