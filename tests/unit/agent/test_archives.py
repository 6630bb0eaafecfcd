"""Archives go in and come out unchanged; a hostile one ends with one clear error, and nothing outside is touched."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from madang.agent.archives import pack, unpack
from madang.agent.files import WorkDirectory
from madang.domain.errors import Conflict, InvalidInput, MadangError, NotFound, TooLarge, UnsafePath

LIMIT = 1 << 20


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = link
    made.mode = mode
    return made


def _tar(*members: tuple[tarfile.TarInfo, bytes], pax: dict[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            member.size = len(data)
            member.pax_headers = pax or {}
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture(autouse=True)
def outside(tmp_path: Path) -> Iterator[Path]:
    """What must not change, whatever a test does."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(b"host")
    yield place
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"secret": b"host"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "work"]


def _unpack(inside: Path, data: bytes, base: str = "", limit: int = LIMIT) -> None:
    unpack(WorkDirectory(inside, None), io.BytesIO(data), base, limit)


def _pack(inside: Path, path: str = "") -> bytes:
    made = bytearray()
    pack(WorkDirectory(inside, None), path, made.extend)
    return bytes(made)


def _tree(root: Path) -> dict[str, tuple[str, int, bytes | str]]:
    found: dict[str, tuple[str, int, bytes | str]] = {}
    for path in root.rglob("*"):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode & 0o777
        if path.is_symlink():
            found[name] = ("link", 0, str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", mode, b"")
        else:
            found[name] = ("file", mode, path.read_bytes())
    return found


# --- what users do every day ---


def test_what_is_packed_unpacks_to_the_same(inside: Path, tmp_path: Path) -> None:
    source = inside / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "a/b/data.bin").write_bytes(os.urandom(300_000))
    (source / "a/run.sh").write_bytes(b"#!/bin/sh\n")
    (source / "a/run.sh").chmod(0o755)
    (source / "자료.txt").write_text("마당")
    (source / ("long" * 50)).write_bytes(b"")
    (source / os.fsdecode(b"not-text-\xff")).write_bytes(b"x")
    (source / "a/link").symlink_to("../empty")
    (source / "a/b/link").symlink_to("data.bin")
    os.mkfifo(source / "pipe")
    packed = _pack(inside, "source")
    (source / "pipe").unlink()  # left out: nobody could unpack it
    for data in (packed, gzip.compress(packed)):
        _unpack(inside, data, "copy")
        assert _tree(inside / "copy/source") == _tree(source)


def test_a_single_file_and_the_whole_directory_can_be_packed(inside: Path) -> None:
    (inside / "a").mkdir()
    (inside / "a/file").write_bytes(b"x")
    for path, names in {"a/file": ["a/file"], "a": ["a", "a/file"], "": ["a", "a/file"], ".": ["a", "a/file"]}.items():
        with tarfile.open(fileobj=io.BytesIO(_pack(inside, path))) as archive:
            assert archive.getnames() == names
    with pytest.raises(NotFound, match="There is no 'missing'"):
        _pack(inside, "missing")


def test_links_out_are_packed_as_links_and_not_followed(inside: Path, outside: Path) -> None:
    (inside / "directory").symlink_to(outside)
    (inside / "file").symlink_to(outside / "secret")
    packed = _pack(inside)
    assert b"host" not in packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert all(member.issym() for member in archive)
    with pytest.raises(MadangError):
        _pack(inside, "directory/secret")


def test_files_that_change_while_they_are_packed_do_no_harm(inside: Path, outside: Path) -> None:
    """The first bytes are taken when the second file has been looked at already."""
    (inside / "a").write_bytes(b"a" * 50_000)
    (inside / "b").write_bytes(b"b" * 1000)
    (inside / "d").mkdir()
    (inside / "d/file").write_bytes(b"d")
    made = bytearray()

    def write(data: bytes) -> None:
        if not made:
            os.truncate(inside / "a", 10)
            (inside / "b").unlink()
            (inside / "d/file").unlink()
            (inside / "d").rmdir()
            (inside / "d").symlink_to(outside)
        made.extend(data)

    pack(WorkDirectory(inside, None), "", write)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        members = {member.name: member for member in archive}
    assert members["a"].size == 50_000
    assert "secret" not in str(members)


def _vanish(path: Path, outside: Path) -> None:
    path.unlink()


def _become_link(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside / "secret")


@pytest.mark.parametrize("change", [_vanish, _become_link])
@pytest.mark.parametrize("name", ["file", "link"])
def test_what_is_exchanged_between_looking_and_opening_is_left_out(
    inside: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Path, Path], None]
) -> None:
    (inside / "file").write_bytes(b"inside")
    (inside / "link").symlink_to("file")
    (inside / "other").write_bytes(b"other")
    walk = WorkDirectory.walk

    def slow(work: WorkDirectory, path: str) -> Iterator[tuple[str, os.stat_result, int, str]]:
        for found in walk(work, path):
            if found[0] == name:
                change(inside / name, outside)
            yield found

    monkeypatch.setattr(WorkDirectory, "walk", slow)
    packed = _pack(inside)
    assert b"host" not in packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert "other" in archive.getnames()


def test_unpacking_replaces_files_and_keeps_what_else_is_there(inside: Path) -> None:
    (inside / "d").mkdir()
    (inside / "d/old").write_bytes(b"old")
    (inside / "d/keep").write_bytes(b"keep")
    _unpack(inside, _tar((_member("./d", tarfile.DIRTYPE, mode=0o750), b""), (_member("./d/old"), b"new")))
    assert (inside / "d/old").read_bytes() == b"new"
    assert (inside / "d/keep").read_bytes() == b"keep"


def test_hard_links_become_second_names(inside: Path) -> None:
    _unpack(
        inside,
        _tar(
            (_member("file"), b"data"),
            (_member("second", tarfile.LNKTYPE, "file"), b""),
            (_member("file", tarfile.LNKTYPE, "./file"), b""),  # tar was given the file twice
        ),
        "base",
    )
    assert (inside / "base/second").read_bytes() == (inside / "base/file").read_bytes() == b"data"


def test_special_rights_do_not_survive(inside: Path) -> None:
    _unpack(inside, _tar((_member("run", mode=0o6777), b"x"), (_member("d", tarfile.DIRTYPE, mode=0o7777), b"")))
    assert (inside / "run").stat().st_mode & 0o7000 == 0
    assert (inside / "d").stat().st_mode & 0o7000 == 0


# --- hostile archives ---


@pytest.mark.parametrize("base", ["", "base/deep"])
@pytest.mark.parametrize(
    "member",
    [
        _member("/etc/passwd"),
        _member("../outside/secret"),
        _member("../../outside/secret"),
        _member("a/../../../outside/secret"),
        _member("a/.."),
        _member("..", tarfile.DIRTYPE),
        _member("../new", tarfile.DIRTYPE),
        _member("x" * 300),
        _member("."),
        _member(""),
        _member("link", tarfile.SYMTYPE, "/etc"),
        _member("link", tarfile.SYMTYPE, "../../../outside"),
        _member("a/link", tarfile.SYMTYPE, "../b/../../../../outside"),
        _member("../link", tarfile.SYMTYPE, "x"),
        _member("link", tarfile.LNKTYPE, "../outside/secret"),
        _member("link", tarfile.LNKTYPE, "/etc/passwd"),
        _member("character", tarfile.CHRTYPE),
        _member("block", tarfile.BLKTYPE),
        _member("pipe", tarfile.FIFOTYPE),
        _member("../pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name[:20]} {member.type} {member.linkname[:20]}" if member else "",
)
def test_a_member_that_leaves_or_is_no_file_is_refused(inside: Path, member: tarfile.TarInfo, base: str) -> None:
    with pytest.raises(UnsafePath):
        _unpack(inside, _tar((member, b"")), base)
    assert not [path for path in inside.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("base", ["..", "/tmp", "a/../..", "x\0"])
def test_a_place_that_leaves_is_refused(inside: Path, base: str) -> None:
    with pytest.raises(UnsafePath):
        _unpack(inside, _tar((_member("file"), b"x")), base)


def test_a_name_with_a_nul_is_refused(inside: Path) -> None:
    with pytest.raises(UnsafePath, match="NUL"):
        _unpack(inside, _tar((_member("file"), b"x"), pax={"path": "a\0b"}))
    with pytest.raises(UnsafePath, match="NUL"):
        _unpack(inside, _tar((_member("l", tarfile.SYMTYPE, "x"), b""), pax={"linkpath": "a\0b"}))


@pytest.mark.parametrize(
    "second",
    [
        _member("link/secret"),
        _member("link/new"),
        _member("link/new", tarfile.DIRTYPE),
        _member("link/new", tarfile.SYMTYPE, "x"),
        _member("stolen", tarfile.LNKTYPE, "link/secret"),
        _member("stolen", tarfile.LNKTYPE, "link"),
    ],
    ids=lambda member: f"{member.name} {member.type}",
)
def test_nothing_goes_through_a_link_that_a_session_planted(
    inside: Path, outside: Path, second: tarfile.TarInfo
) -> None:
    (inside / "link").symlink_to(outside)
    with pytest.raises(MadangError):
        _unpack(inside, _tar((second, b"")))
    assert [path.name for path in inside.iterdir()] == ["link"]


def test_a_chain_of_links_that_look_harmless_leads_nowhere(inside: Path) -> None:
    chain = [
        (_member("a/b", tarfile.DIRTYPE), b""),
        (_member("one", tarfile.SYMTYPE, "a/b"), b""),
        (_member("two", tarfile.SYMTYPE, "one/../../outside"), b""),  # from one, but not from its name, this leaves
        (_member("two/secret"), b"owned"),
    ]
    with pytest.raises(MadangError):
        _unpack(inside, _tar(*chain))
    with pytest.raises(MadangError):
        WorkDirectory(inside, None).read("two/secret", print)


def test_a_link_of_the_archive_is_replaced_by_a_file_of_its_name(inside: Path, outside: Path) -> None:
    (inside / "name").symlink_to(outside / "secret")
    _unpack(inside, _tar((_member("name"), b"mine")))
    assert not (inside / "name").is_symlink()
    assert (inside / "name").read_bytes() == b"mine"


@pytest.mark.parametrize("compress", [False, True])
def test_an_archive_that_unpacks_to_too_much_is_refused(inside: Path, compress: bool) -> None:
    data = _tar(*((_member(f"zeros{number}"), bytes(LIMIT // 2)) for number in range(3)))
    with pytest.raises(TooLarge, match="more than 1m"):
        _unpack(inside, gzip.compress(data) if compress else data)
    assert sum(path.stat().st_size for path in inside.iterdir()) <= LIMIT


def _raw(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header of our own, with a checksum that is right."""
    fields = (name, b"0000644", b"0", b"0", size, b"0", b" " * 8, kind, b"", b"ustar\0", b"00")
    header = bytearray(struct.pack("100s8s8s8s12s12s8sc100s6s2s", *fields).ljust(512, b"\0"))
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def test_a_negative_size_buys_no_room(inside: Path) -> None:
    negative = b"\xff" * 8 + struct.pack(">i", -(1 << 30))
    data = _raw(b"debt", negative) + _tar((_member("zeros"), bytes(2 * LIMIT)))
    with pytest.raises(MadangError):
        _unpack(inside, data)
    assert sum(path.stat().st_size for path in inside.iterdir()) <= LIMIT


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_an_endless_header_is_not_read_into_memory(inside: Path, kind: bytes) -> None:
    size = 64 << 20
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as file:
        file.write(_raw(b"header", b"%011o" % size, kind))
        for _ in range(size >> 22):
            file.write(bytes(1 << 22))
    tracemalloc.start()
    try:
        with pytest.raises((InvalidInput, TooLarge)):
            _unpack(inside, bomb.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_many_members_do_not_fill_the_memory(inside: Path) -> None:
    peaks = []
    for count in (1000, 8000):
        data = gzip.compress(_raw(b"d", b"0", b"5") * count, 1)
        tracemalloc.start()
        try:
            _unpack(inside, data)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1 << 20, peaks


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", bytes(range(256)) * 8, b"\x1f\x8bnonsense", b"PK\x03\x04" + bytes(600), b"BZh9nonsense" * 100],
    ids=["empty", "short", "noise", "gzip", "zip", "bzip2"],
)
def test_what_is_no_archive_is_said_to_be_none(inside: Path, data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read as tar or tar\.gz"):
        _unpack(inside, data)


@pytest.mark.parametrize("compress", [False, True])
def test_half_an_archive_is_no_archive(inside: Path, compress: bool) -> None:
    data = _tar((_member("first"), b"x" * 2000), (_member("second"), os.urandom(100_000)))
    data = gzip.compress(data) if compress else data
    with pytest.raises(InvalidInput, match=r"cannot be read as tar or tar\.gz"):
        _unpack(inside, data[: len(data) // 2])
    assert not (inside / "second").exists()


def test_a_broken_archive_ends_with_one_of_our_errors_wherever_it_breaks(inside: Path) -> None:
    data = _tar(
        (_member("d", tarfile.DIRTYPE), b""),
        (_member("d/" + "long" * 40), b"x" * 700),
        (_member("link", tarfile.SYMTYPE, "d"), b""),
        pax={"comment": "c", "mtime": "1.5", "size": "700"},
    )
    for place in range(0, len(data), 7):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        with suppress(MadangError):
            _unpack(inside, bytes(broken))


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b", "GNU.sparse.size": "1"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.size": "x"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"},
        {"GNU.sparse.size": "-5"},
        {"size": "x"},
    ],
)
def test_odd_extended_headers_end_with_one_of_our_errors(inside: Path, headers: dict[str, str]) -> None:
    with suppress(MadangError):
        _unpack(inside, _tar((_member("file"), b"x\ny\n" * 200), pax=headers))
    assert sum(path.stat().st_size for path in inside.iterdir()) <= LIMIT


def test_a_file_in_the_way_of_a_directory_is_named(inside: Path) -> None:
    (inside / "d").write_bytes(b"file")
    for member in (_member("d", tarfile.DIRTYPE), _member("d/file")):
        with pytest.raises((Conflict, NotFound), match="'d"):
            _unpack(inside, _tar((member, b"")))
    assert (inside / "d").read_bytes() == b"file"
