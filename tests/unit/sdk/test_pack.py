"""What of a directory is sent, and that it is always the same bytes."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from madang.domain.errors import Conflict, InvalidInput, TooLarge
from madang.sdk.pack import Manifest, scan


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def packed(manifest: Manifest) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(manifest.stream())), mode="r:gz")


def names(directory: Path) -> list[str]:
    with packed(scan(directory)) as tar:
        return [member.name for member in tar if not member.isdir()]


def test_nested_gitignore_files_are_respected(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            ".gitignore": "*.log\n/build/\n!keep.log\ndata/**\n",
            "train.py": "",
            "a.log": "",
            "keep.log": "",
            "build/x": "",
            "src/build/y": "",
            "src/.gitignore": "!b.log\n*.tmp\n",
            "src/b.log": "",
            "src/c.tmp": "",
            "data/big": "",
            ".git/config": "",
            "sub/.git": "gitdir: elsewhere",
            "sub/z": "",
        },
    )
    assert names(tmp_path) == [
        ".gitignore",
        "keep.log",
        "src/.gitignore",
        "src/b.log",
        "src/build/y",
        "sub/z",
        "train.py",
    ]


def test_what_git_itself_ignores_is_left_out(tmp_path: Path) -> None:
    files = {
        ".gitignore": "*.pyc\nsecret*\n!secret-not\n/top\nmid/dle\n**/deep/*.x\n\\#hash\ntrailing \n",
        **dict.fromkeys(
            ["a.pyc", "b/a.pyc", "secret", "secret-not", "top", "b/top", "mid/dle", "b/mid/dle", "deep/a.x"], ""
        ),
        **dict.fromkeys(["b/deep/a.x", "b/deep/c/a.x", "#hash", "trailing", "b/.gitignore", "b/한글"], ""),
    }
    write(tmp_path, **files)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    listed = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "-z", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    assert sorted(names(tmp_path)) == sorted(filter(None, listed.split("\0")))


def test_the_rules_of_the_repository_hold_in_a_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, **{".gitignore": "*.bin\n/part/out/\n", ".git/HEAD": "", "part/a.bin": "", "part/out/x": ""})
    write(tmp_path, **{"part/b.py": ""})
    assert names(tmp_path / "part") == ["b.py"]
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git").rmdir()
    assert names(tmp_path / "part") == ["a.bin", "b.py", "out/x"]


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    for root in (tmp_path / "one", tmp_path / "two"):
        write(root, **{"b": "2", "a/c": "1"})
        for path in (root / "a" / "c", root / "b", root / "a"):
            os.utime(path, (1_700_000_000, 1_700_000_000.5))
    (tmp_path / "two" / "b").chmod(0o600)
    one, two = (b"".join(scan(tmp_path / name).stream()) for name in ("one", "two"))
    assert one == two
    with packed(scan(tmp_path / "one")) as tar:
        assert {(m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, "", "")}


def test_links_are_kept_only_when_they_stay_inside(tmp_path: Path) -> None:
    root = write(tmp_path / "job", **{"data/x": "1"})
    write(tmp_path, outside="secret")
    for name, target in {
        "good": "data/x",
        "data/up": "../data",
        "absolute": str(root / "data"),
        "out": "../outside",
        "round": "data/../data",
        "through": "data/up/../../outside",
        "chain": "out",
        "dangling": "nowhere",
    }.items():
        (root / name).symlink_to(target)
    manifest = scan(root)
    assert sorted(manifest.skipped) == ["absolute", "chain", "out", "round", "through"]
    with packed(manifest) as tar:
        assert {m.name: m.linkname for m in tar if m.issym()} == {
            "good": "data/x",
            "data/up": "../data",
            "dangling": "nowhere",
        }


def test_pipes_and_sockets_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert scan(tmp_path).skipped == ("pipe", "socket")


def test_too_large_a_directory_names_what_takes_the_most(tmp_path: Path) -> None:
    write(tmp_path, **{"data/a": "x" * 3000, "data/b": "x" * 3000, "model.bin": "x" * 2000, "tiny.py": "x"})
    with pytest.raises(TooLarge, match=r"data/ \(5\.9 KiB\), model\.bin \(2\.0 KiB\).*\.gitignore"):
        scan(tmp_path, limit_bytes=4096)
    write(tmp_path, **{".gitignore": "data/\n"})
    assert scan(tmp_path, limit_bytes=4096).size == 2007


def test_progress_counts_up_to_all(tmp_path: Path) -> None:
    write(tmp_path, a="x" * 1000, b="x" * 500)
    seen: list[tuple[int, int | None]] = []
    assert b"".join(scan(tmp_path).stream(lambda done, total: seen.append((done, total))))
    assert seen == [(1000, 1500), (1500, 1500)]


def test_a_file_that_shrinks_meanwhile_is_told(tmp_path: Path) -> None:
    write(tmp_path, a="x" * 1000)
    manifest = scan(tmp_path)
    write(tmp_path, a="x")
    with pytest.raises(Conflict, match="became shorter"):
        list(manifest.stream())


def test_a_file_that_grows_or_is_gone_meanwhile(tmp_path: Path) -> None:
    write(tmp_path, a="x" * 10)
    manifest = scan(tmp_path)
    write(tmp_path, a="x" * 1000)
    with packed(manifest) as tar:
        assert tar.getmember("a").size == 10
    (tmp_path / "a").unlink()
    with pytest.raises(InvalidInput, match="Cannot read a"):
        list(manifest.stream())


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a directory"):
        scan(tmp_path / "none")


_NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..", ".git", ".gitignore") and len(name.encode()) < 200
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(st.lists(_NAME, min_size=1, max_size=3).map(tuple), st.binary(max_size=2000), max_size=6))
def test_any_tree_comes_back_as_it_was(
    tree: dict[tuple[str, ...], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    kept: dict[str, bytes] = {}
    for parts, data in tree.items():
        path = root.joinpath(*parts)
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kept["/".join(parts)] = data
    with packed(scan(root)) as tar:
        found = {m.name: file.read() for m in tar if (file := tar.extractfile(m)) is not None}
    assert found == kept
