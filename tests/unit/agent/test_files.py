"""Nothing outside a work directory is read or changed, whatever paths are asked for and whatever links are planted."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from madang.agent import files
from madang.agent.files import WorkDirectory
from madang.domain.errors import Conflict, MadangError, NotFound, StorageFull, UnsafePath

SECRET = b"a secret of the host"


class _Place:
    """A work directory beside things that are none of its business."""

    def __init__(self, root: Path) -> None:
        self.outside = root / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_bytes(SECRET)
        (self.outside / "below").mkdir()
        (self.outside / "below/secret").write_bytes(SECRET)
        self.path = root / "work"
        self.path.mkdir()
        self.work = WorkDirectory(self.path, None)
        self._before = self._look()

    def _look(self) -> list[tuple[str, int, bytes]]:
        return sorted(
            (str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in self.outside.rglob("*")
        )

    def assert_untouched(self) -> None:
        assert self._look() == self._before

    def put(self, path: str, data: bytes = b"data", mode: int = 0o644, limit: int | None = None) -> int:
        return self.work.write(path, io.BytesIO(data), mode, limit)

    def get(self, path: str) -> bytes:
        found = bytearray()
        self.work.read(path, found.extend)
        return bytes(found)

    def names(self, path: str = "") -> list[str]:
        return [entry.path for entry in self.work.entries(path)]


@pytest.fixture(params=["openat2", "walk"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Place:
    """With the kernel's own resolution, and as on a kernel that has none."""
    if request.param == "walk":

        def missing(directory: int, path: str, flags: int, resolve: int) -> int:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(files, "_openat2", missing)
    return _Place(tmp_path)


def _every_way(place: _Place, path: str) -> dict[str, Callable[[], object]]:
    return {
        "read": lambda: place.get(path),
        "list": lambda: place.work.entries(path),
        "write": lambda: place.put(path, b"owned"),
        "make": lambda: place.work.make_directory(path),
        "delete": lambda: place.work.delete(path),
        "walk": lambda: list(place.work.walk(path)),
        "link": lambda: place.work.link(path, "x"),
        "hard link": lambda: place.work.hard_link(path, "file"),
        "hard link to": lambda: place.work.hard_link("new", path),
    }


# --- what users do every day ---


def test_what_is_written_is_read_back(place: _Place) -> None:
    data = os.urandom(700_000)
    assert place.put("a/b/자료.bin", data) == len(data)
    assert place.get("a/b/자료.bin") == data
    assert place.names("a") == ["a/b"]
    (entry,) = place.work.entries("a/b")
    assert (entry.path, entry.kind, entry.size) == ("a/b/자료.bin", "file", len(data))


def test_entries_are_sorted_and_say_what_they_are(place: _Place) -> None:
    place.put("file")
    place.work.make_directory("directory")
    place.work.link("link", "file")
    os.mkfifo(place.path / "pipe")
    assert [(entry.path, entry.kind) for entry in place.work.entries(".")] == [
        ("directory", "directory"),
        ("file", "file"),
        ("link", "symlink"),
        ("pipe", "other"),
    ]


def test_names_and_times_that_nothing_can_show_do_not_hide_the_rest(place: _Place) -> None:
    place.put("good")
    (place.path / os.fsdecode(b"\xff\xfe")).write_bytes(b"")
    os.utime(place.path / "good", (2**40, 2**40))  # the year 36812, where the file system takes it
    assert sorted(place.names()) == ["good", "\ufffd\ufffd"]


def test_a_time_of_another_age_is_shown_as_the_last_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in (2.0**62, -(2.0**62), 2.0**40):
        status = os.stat_result((0o100644, 1, 1, 1, 0, 0, 5, moment, moment, moment))
        assert files._entry("old", status).size == 5


def test_a_file_is_replaced_in_one_step(place: _Place) -> None:
    place.put("file", b"old")
    with (place.path / "file").open("rb") as reader:
        place.put("file", b"new")
        assert reader.read() == b"old"  # who had opened it reads the old one to its end
    assert place.get("file") == b"new"
    assert place.names() == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(place: _Place) -> None:
    place.put("file", b"old")

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise Conflict("the sender is gone")
            return super().read(3)

    with pytest.raises(Conflict, match="the sender is gone"):
        place.work.write("file", Broken(b"new content"))
    with pytest.raises(Conflict, match="larger than announced"):
        place.put("file", b"new content", limit=4)
    assert place.get("file") == b"old"
    assert place.names() == ["file"]


def test_a_full_disk_is_named_and_leaves_the_old_file(place: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("file", b"old")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageFull, match="disk is full; delete files"):
            place.put("file", b"new")
    assert place.get("file") == b"old"
    assert place.names() == ["file"]


def test_modes_give_no_special_rights_and_keep_the_owner_in(place: _Place) -> None:
    place.put("run", mode=0o6755)
    place.put("mute", mode=0)
    place.work.make_directory("shut", 0o7000)
    assert (place.path / "run").stat().st_mode & 0o7777 == 0o755
    assert (place.path / "mute").stat().st_mode & 0o7777 == 0o600
    assert (place.path / "shut").stat().st_mode & 0o7777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_is_made_belongs_to_the_sandbox(tmp_path: Path) -> None:
    work = WorkDirectory(tmp_path, {"uid": 12345, "gid": 12346})
    work.write("a/b/file", io.BytesIO(b"x"))
    work.make_directory("c/d")
    work.link("a/link", "b")
    for path in ("a", "a/b", "a/b/file", "c", "c/d", "a/link"):
        status = (tmp_path / path).lstat()
        assert (status.st_uid, status.st_gid) == (12345, 12346)


def test_deleting_takes_a_whole_directory(place: _Place) -> None:
    place.put("a/b/c/file")
    place.put("keep")
    place.work.delete("a")
    assert place.names() == ["keep"]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_a_directory_deeper_than_any_path_is_listed_packed_and_deleted(place: _Place) -> None:
    here = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY)
    for name in ["deep"] + ["d" * 10] * 1500:
        os.mkdir(name, dir_fd=here)
        os.mknod("later", dir_fd=here)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        names = [path.rpartition("/")[2] for path, _, _, _ in place.work.walk("deep")]
        assert (names.count("d" * 10), names.count("later")) == (1500, 1500)
        place.work.delete("deep")
        assert place.names() == ["later"]
    finally:  # nothing in Python would clean up after us
        subprocess.run(["rm", "-rf", place.path / "deep"], check=True)


def test_a_directory_that_moves_while_it_is_listed_leads_nowhere_else(place: _Place) -> None:
    inner = "deep" + "/d" * 100
    for name in (f"{inner}/file", "deep/d/left", "elsewhere/secret"):
        place.put(name)
    seen = []
    for path, _, _, _ in place.work.walk("deep"):
        seen.append(path)
        if path == f"{inner}/file":
            (place.path / "deep" / "/".join(["d"] * 40)).rename(place.path / "elsewhere" / "moved")
    assert f"{inner}/file" in seen
    assert not [path for path in seen if "secret" in path]


@pytest.mark.parametrize("path", ["missing", "missing/too", "file/below"])
def test_what_is_not_there_is_said_to_be_not_there(place: _Place, path: str) -> None:
    place.put("file")
    for way in ("read", "list", "delete", "walk"):
        with pytest.raises(NotFound, match=r"There is no '.+' in the work directory"):
            _every_way(place, path)[way]()


def test_what_is_in_the_way_is_said_to_be(place: _Place) -> None:
    place.put("directory/file")
    os.mkfifo(place.path / "pipe")
    with pytest.raises(Conflict, match="'directory' is a directory"):
        place.put("directory")
    with pytest.raises(Conflict, match="'directory' is not a file; fetch it as an archive"):
        place.get("directory")
    with pytest.raises(Conflict, match="'pipe' is not a file"):  # and does not wait for a writer
        place.get("pipe")
    for path in ("", ".", "./"):
        with pytest.raises(Conflict, match="The work directory itself cannot be"):
            place.put(path)
        with pytest.raises(Conflict, match="The work directory itself cannot be deleted"):
            place.work.delete(path)
    assert place.get("directory/file") == b"data"


# --- hostile paths and links ---


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../outside/secret",
        "/etc/passwd",
        "a/../../outside/secret",
        "x\0",
        "../work/../outside",
        "y" * 300,
        "\ud800",
    ],
    ids=lambda path: ascii(path)[:20],
)
def test_a_path_that_leaves_is_refused_in_every_way(place: _Place, path: str) -> None:
    place.put("file")
    for name, action in _every_way(place, path).items():
        with pytest.raises(UnsafePath):
            action()
        assert place.names() == ["file"], name
    place.assert_untouched()


def _plant(place: _Place) -> None:
    """What a hostile session leaves in its work directory."""
    work, outside = place.path, place.outside
    (work / "file").write_bytes(b"inside")
    (work / "real").mkdir()
    for name, target in {
        "absolute": str(outside),
        "relative": "../outside",
        "root": "/",
        "up": "..",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "chain1": "chain2",
        "chain2": "real/../../outside",
        "file-absolute": str(outside / "secret"),
        "file-relative": "../outside/secret",
        "process": "/proc/self/root",
        "descriptors": "/proc/self/fd",
        "cwd": "/proc/self/cwd",
        "dangling": "/nowhere/at/all",
    }.items():
        (work / name).symlink_to(target)
    (work / "real/up").symlink_to("../../outside")


_THROUGH = [
    f"{link}/{below}"
    for link in ("absolute", "relative", "chain1", "chain2", "real/up", f"root/{'{outside}'}", "up/outside")
    for below in ("secret", "below", "below/secret", "new")
] + ["loop/x", "ping/x", "process/etc/passwd", "descriptors/0", "cwd/pyproject.toml", "dangling/x"]


@pytest.mark.parametrize("path", _THROUGH)
def test_no_link_leads_out(place: _Place, path: str) -> None:
    _plant(place)
    planted = sorted(place.path.iterdir())
    path = path.replace("{outside}", str(place.outside).strip("/"))
    for action in _every_way(place, path).values():
        with pytest.raises(MadangError):
            action()
    place.assert_untouched()
    assert [path for path in sorted(place.path.iterdir()) if path.name != "new"] == planted


@pytest.mark.parametrize(
    "link",
    ["absolute", "relative", "root", "up", "loop", "chain1", "process", "file-absolute", "file-relative", "dangling"],
)
def test_a_link_itself_is_replaced_or_deleted_and_never_what_it_names(place: _Place, link: str) -> None:
    _plant(place)
    for reading in (lambda: place.get(link), lambda: place.work.entries(link)):
        with pytest.raises(MadangError):
            reading()
    place.put(link, b"mine")
    assert not (place.path / link).is_symlink()
    assert place.get(link) == b"mine"
    (place.path / link).unlink()
    (place.path / link).symlink_to(place.outside)
    place.work.delete(link)
    assert not os.path.lexists(place.path / link)
    place.assert_untouched()


def test_deleting_a_directory_leaves_what_its_links_name(place: _Place) -> None:
    (place.path / "a/b").mkdir(parents=True)
    (place.path / "a/link").symlink_to(place.outside)
    (place.path / "a/b/file").symlink_to(place.outside / "secret")
    os.link(place.outside / "secret", place.path / "a/hard")
    place.work.delete("a")
    assert place.names() == []
    place.assert_untouched()


def test_walking_shows_links_and_does_not_follow_them(place: _Place) -> None:
    _plant(place)
    seen = [path for path, *_ in place.work.walk("")]
    assert "absolute" in seen
    assert not any("secret" in path for path in seen)
    assert [path for path, *_ in place.work.walk("absolute")] == ["absolute"]


def test_links_are_only_made_to_the_inside(place: _Place) -> None:
    for target in ("/etc", "..", "../outside", "a/../../outside", "../../..", "//", "/"):
        with pytest.raises(UnsafePath, match="points out of the work directory"):
            place.work.link("link", target)
    for target in ("a\0b", "x" * 5000):
        with pytest.raises(UnsafePath):
            place.work.link("link", target)
    assert place.names() == []
    place.work.link("a/link", "../b")
    place.put("b", b"inside")
    assert (place.path / "a/link").readlink() == Path("../b")


def test_a_hard_link_is_a_second_name_of_a_file_and_of_nothing_else(place: _Place) -> None:
    _plant(place)
    place.work.hard_link("second", "file")
    assert place.get("second") == b"inside"
    for existing in ("file-absolute", "absolute", "real"):
        with pytest.raises(UnsafePath, match="not a file"):
            place.work.hard_link("third", existing)
    with pytest.raises(NotFound):
        place.work.hard_link("third", "missing")
    assert "third" not in place.names()
    place.assert_untouched()


def test_a_file_linked_to_itself_is_still_there(place: _Place) -> None:
    place.put("file", b"precious")
    place.work.hard_link("file", "./file")
    assert place.get("file") == b"precious"


# --- links that change while they are walked ---


@contextmanager
def _meanwhile(step: Callable[[], None]) -> Iterator[None]:
    """Do something over and over, as a hostile session would."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        while not stop.is_set():
            try:
                step()
            except OSError:
                continue  # the other side was faster
            except BaseException as error:
                failed.append(error)
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failed


def _swapper(place: _Place) -> Callable[[], None]:
    """Exchanges the directory `d` for a link that leads out, and back."""
    (place.path / "d").mkdir()
    (place.path / "d/secret").write_bytes(b"inside")
    (place.path / "link").symlink_to("../outside")

    def swap() -> None:
        (place.path / "d").rename(place.path / "away")
        (place.path / "link").rename(place.path / "d")
        (place.path / "d").rename(place.path / "link")
        (place.path / "away").rename(place.path / "d")

    return swap


def test_a_directory_exchanged_for_a_link_meanwhile_leads_nowhere(place: _Place) -> None:
    def attempt(number: int) -> Iterator[None]:
        place.put("d/secret", b"inside")
        yield
        assert place.get("d/secret") == b"inside"
        yield
        assert all(path == "d/secret" or path.startswith(("d/.madang-", "d/sub")) for path in place.names("d"))
        yield
        place.work.make_directory(f"d/sub{number % 3}")
        place.put(f"d/sub{number % 3}/new", b"inside")
        yield
        place.work.delete(f"d/sub{number % 3}")

    with _meanwhile(_swapper(place)):
        for number in range(400):
            with suppress(MadangError):
                list(attempt(number))
    place.assert_untouched()


def test_what_changes_while_it_is_deleted_or_walked_leads_nowhere(place: _Place) -> None:
    with _meanwhile(_swapper(place)):
        for _ in range(200):
            with suppress(MadangError):
                assert not any(path.endswith("below") for path, *_ in place.work.walk(""))
            with suppress(MadangError):
                place.work.delete("d/secret")
    place.assert_untouched()


def test_inner_links_are_read_while_others_rename_files(tmp_path: Path) -> None:
    """The kernel asks to try again when anything anywhere is renamed while it goes up; users never see that."""
    place = _Place(tmp_path)
    place.put("a/b/file", b"inside")
    place.work.link("a/link", "../a/../a/b/../b/file")
    (tmp_path / "one").mkdir()
    script = "import os\nwhile True:\n  os.rename('one', 'two')\n  os.rename('two', 'one')"
    renamer = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    try:
        while not (tmp_path / "two").exists():
            assert renamer.poll() is None
        for _ in range(3000):
            assert place.get("a/link") == b"inside"
    finally:
        renamer.kill()
        renamer.wait()
