"""Hostile archives are refused before anything is unpacked."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from madang.domain.errors import InvalidInput, MadangError, TooLarge, UnsafePath
from madang.services.archives import check_archive


def _tar(*members: tuple[tarfile.TarInfo, bytes], pax: dict[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", pax_headers=pax or {}) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = link
    return made


def _check(tmp_path: Path, data: bytes, limit: int = 1 << 20) -> None:
    place = tmp_path / "archive"
    place.write_bytes(data)
    check_archive(place, limit)


@pytest.mark.parametrize("compress", [False, True])
def test_a_decent_archive_is_accepted(tmp_path: Path, compress: bool) -> None:
    data = _tar(
        (_member("./src", tarfile.DIRTYPE), b""),
        (_member("./src/train.py"), b"print(1)"),
        (_member("./src/same.py", tarfile.SYMTYPE, "train.py"), b""),
        (_member("up", tarfile.SYMTYPE, "src/../src"), b""),
        (_member("hard", tarfile.LNKTYPE, "src/train.py"), b""),
    )
    _check(tmp_path, gzip.compress(data) if compress else data)


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (_member("/etc/passwd"), UnsafePath),
        (_member("../outside"), UnsafePath),
        (_member("a/../../outside"), UnsafePath),
        (_member("link", tarfile.SYMTYPE, "/etc"), UnsafePath),
        (_member("a/link", tarfile.SYMTYPE, "../../etc"), UnsafePath),
        (_member("link", tarfile.LNKTYPE, "../outside"), UnsafePath),
        (_member("link", tarfile.LNKTYPE, "/etc/shadow"), UnsafePath),
        (_member("device", tarfile.CHRTYPE), UnsafePath),
        (_member("device", tarfile.BLKTYPE), UnsafePath),
        (_member("pipe", tarfile.FIFOTYPE), UnsafePath),
    ],
)
def test_what_leaves_the_directory_is_refused(tmp_path: Path, member: tarfile.TarInfo, kind: type[MadangError]) -> None:
    with pytest.raises(kind):
        _check(tmp_path, _tar((member, b"")))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="unpacks to more than 1m"):
        _check(tmp_path, gzip.compress(_tar((_member("zeros"), b"\0" * (2 << 20)))))


def test_an_endless_header_is_not_read_into_memory(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="header"):
        _check(tmp_path, _tar((_member("file"), b""), pax={"comment": "x" * (3 << 20)}), limit=64 << 20)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8bnonsense", b"PK\x03\x04" + b"\0" * 600])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a whole tar"):
        _check(tmp_path, data)


def test_half_an_archive_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(_tar((_member("file"), bytes(range(256)) * 400)))
    with pytest.raises(InvalidInput, match="not a whole tar"):
        _check(tmp_path, data[: len(data) // 2])
