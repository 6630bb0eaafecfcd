"""Environments are really built, once, whole or not at all, whoever dies or builds at the same time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from madang.agent.environments import Environment, EnvironmentStore, builtin_manifests
from madang.domain.errors import InvalidInput, NotFound, Unavailable
from madang.domain.ids import SystemClock
from madang.schemas.agent import EnvironmentState
from tests.wheels import slow_sdist, wheel

BUILD = """
import asyncio, sys
from pathlib import Path
from madang.agent.environments import EnvironmentStore
from madang.domain.errors import MadangError
from madang.domain.ids import SystemClock
async def main(root, manifests, cache, name):
    store = EnvironmentStore(Path(root), [Path(manifests)], Path(cache), SystemClock())
    try:
        print((await store.ensure(name)).path, flush=True)
    except MadangError as error:
        print(type(error).__name__, error.message, flush=True)
    await store.close()
asyncio.run(main(*sys.argv[1:]))
"""


class Place:
    """A directory with wheels, manifests and a store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root / "wheels"
        self.manifests = root / "manifests"
        self.environments = root / "environments"
        self.begun = root / "begun"
        self.go = root / "go"
        self.wheels.mkdir()
        self.manifests.mkdir()

    def store(self, cache: str = "cache") -> EnvironmentStore:
        return EnvironmentStore(self.environments, [self.manifests], self.root / cache, SystemClock())

    def manifest(self, name: str, *packages: str, more: str = "") -> None:
        lines = [f"packages = {list(packages)!r}", f"find-links = ['{self.wheels}']", more]
        (self.manifests / f"{name}.toml").write_text("\n".join(lines))

    def process(self, name: str, cache: str = "cache", prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        arguments = [str(self.environments), str(self.manifests), str(self.root / cache), name]
        return subprocess.Popen([*prefix, sys.executable, "-c", BUILD, *arguments], stdout=subprocess.PIPE, text=True)

    def built(self) -> list[str]:
        return sorted(path.name for path in self.environments.iterdir() if not path.name.startswith("."))

    def left_over(self) -> list[Path]:
        return list(self.environments.glob(".building-*"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", "")
    made = Place(tmp_path)
    yield made
    made.go.touch()  # whatever still waits may end


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def run_in(environment: Environment, script: str) -> str:
    command = ["python", "-c", script]
    return subprocess.run(command, env=dict(environment.variables), capture_output=True, text=True, check=True).stdout


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def state(store: EnvironmentStore, name: str) -> tuple[EnvironmentState, str]:
    status = next(status for status in store.statuses() if status.name == name)
    return status.state, status.message


async def test_a_built_environment_runs_its_packages_and_is_read_only(place: Place) -> None:
    wheel(place.wheels, "tiny-one")
    place.manifest("tiny", "tiny-one", more="variables = { COLOUR = 'red' }")
    store = place.store()
    assert store.ready("tiny") is None
    assert state(store, "tiny")[0] is EnvironmentState.MISSING
    environment = await store.ensure("tiny")
    assert store.ready("tiny") == environment
    assert state(store, "tiny")[0] is EnvironmentState.READY
    script = "import tiny_one, os, sys; print(tiny_one.VERSION, sys.prefix, os.environ['COLOUR'])"
    assert run_in(environment, script).split() == ["1.0", str(environment.path), "red"]
    modes = [path.lstat().st_mode for path in environment.path.rglob("*") if not path.is_symlink()]
    assert all(mode & 0o444 == 0o444 and not mode & 0o222 for mode in modes)
    assert list(environment.path.rglob("tiny_one/__pycache__/*.pyc"))
    assert not place.left_over()
    await store.close()


async def test_it_is_rebuilt_when_its_manifest_changes_and_only_then(place: Place) -> None:
    wheel(place.wheels, "first")
    wheel(place.wheels, "second")
    place.manifest("tiny", "first")
    one = await place.store().ensure("tiny")
    stamp = one.path.stat().st_ctime_ns
    store = place.store()
    place.manifest("tiny", "first", more="description = 'only words'")
    assert (await store.ensure("tiny")).path == one.path
    assert one.path.stat().st_ctime_ns == stamp
    place.manifest("tiny", "first", "second")
    assert store.ready("tiny") is None
    two = await store.ensure("tiny")
    assert two.path != one.path
    assert one.path.is_dir(), "sessions may still run in the earlier one"
    place.manifest("tiny", "first")
    assert (await store.ensure("tiny")).path == one.path
    await store.close()


async def test_concurrent_calls_share_one_build_and_its_progress_shows(place: Place) -> None:
    slow_sdist(place.wheels, "slow", place.begun, place.go)
    place.manifest("tiny", "slow")
    store = place.store()
    calls = [asyncio.create_task(store.ensure("tiny")) for _ in range(3)]
    await until(place.begun.exists)
    status = store.statuses()[0]
    assert status.state is EnvironmentState.BUILDING
    assert status.progress is not None
    assert 0 <= status.progress < 1
    calls[0].cancel()
    place.go.touch()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1] == ends[2]
    assert place.begun.read_text().count("begun") == 1
    await store.close()


async def test_closing_ends_a_build_and_leaves_nothing(place: Place) -> None:
    slow_sdist(place.wheels, "slow", place.begun, place.go)
    place.manifest("tiny", "slow")
    store = place.store()
    call = asyncio.create_task(store.ensure("tiny"))
    await until(place.begun.exists)
    await store.close()
    with pytest.raises(Unavailable, match="stops"):
        await call
    assert not place.left_over()
    assert not place.built()


async def test_killed_in_mid_build_nothing_half_is_left_and_the_next_start_builds(place: Place) -> None:
    slow_sdist(place.wheels, "slow", place.begun, place.go)
    place.manifest("tiny", "slow")
    victim = place.process("tiny")
    await until(place.begun.exists)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not place.built()
    assert place.left_over()
    store = place.store()
    assert store.ready("tiny") is None
    place.go.touch()
    environment = await store.ensure("tiny")
    assert (environment.path / "bin" / "python").exists()
    assert not place.left_over()
    await store.close()


async def test_a_start_sweeps_what_the_dead_left_but_not_what_the_living_build(place: Place) -> None:
    slow_sdist(place.wheels, "slow", place.begun, place.go)
    place.manifest("tiny", "slow")
    builder = place.process("tiny")
    await until(place.begun.exists)
    dead = place.environments / ".building-gone-0123456789abcdef"
    (dead / "venv").mkdir(parents=True)
    place.store()
    assert not dead.exists()
    assert place.left_over()
    place.go.touch()
    assert builder.communicate()[0].strip() == str(place.environments / place.built()[0])


async def test_two_processes_at_once_build_it_once(place: Place) -> None:
    slow_sdist(place.wheels, "slow", place.begun, place.go)
    place.manifest("tiny", "slow")
    processes = [place.process("tiny", cache) for cache in ("cache-a", "cache-b")]
    await until(place.begun.exists)
    place.go.touch()
    paths = {process.communicate()[0].strip() for process in processes}
    assert paths == {str(place.environments / place.built()[0])}
    assert place.begun.read_text().count("begun") == 1
    assert not place.left_over()


async def test_a_failed_build_gives_the_tools_own_words_and_can_be_tried_again(place: Place) -> None:
    place.manifest("tiny", "not-there")
    store = place.store()
    with pytest.raises(Unavailable, match="not-there"):
        await store.ensure("tiny")
    failed, message = state(store, "tiny")
    assert failed is EnvironmentState.FAILED
    assert "not-there" in message
    assert not place.left_over()
    wheel(place.wheels, "not-there")
    await store.ensure("tiny")
    assert state(store, "tiny") == (EnvironmentState.READY, "")
    await store.close()


async def test_a_package_that_cannot_be_imported_is_not_published(place: Place) -> None:
    wheel(place.wheels, "broken", code="raise RuntimeError('kaput')")
    place.manifest("tiny", "broken")
    with pytest.raises(Unavailable, match="kaput"):
        await place.store().ensure("tiny")
    assert not place.built()
    assert not place.left_over()


async def test_unknown_and_unusable_environments_are_refused(place: Place) -> None:
    (place.manifests / "bad.toml").write_text("packages = 1")
    place.manifest("old", more="python = '2.7'")
    store = place.store()
    with pytest.raises(NotFound, match="bad, old"):
        await store.ensure("nope")
    with pytest.raises(InvalidInput, match=r"bad\.toml: packages"):
        await store.ensure("bad")
    assert state(store, "bad")[0] is EnvironmentState.FAILED
    with pytest.raises(Unavailable, match=r"No Python 3\.99"):
        place.manifest("old", more="python = '3.99'")
        await store.ensure("old")


async def test_a_machine_without_a_gpu_takes_the_cpu_build(place: Place) -> None:
    wheel(place.wheels, "nvidia-cublas", "13.0")
    wheel(place.wheels, "tensors", "2.1", ["nvidia-cublas"])
    wheel(place.wheels, "tensors", "2.0+cpu")
    place.manifest("tiny", "tensors")
    environment = await place.store().ensure("tiny")
    assert list(environment.path.glob("lib/python*/site-packages/tensors-2.0+cpu.dist-info"))
    assert not list(environment.path.glob("lib/python*/site-packages/nvidia*"))


async def test_a_machine_without_a_gpu_refuses_a_cuda_build(place: Place) -> None:
    wheel(place.wheels, "nvidia-cublas", "13.0")
    wheel(place.wheels, "tensors", "2.1", ["nvidia-cublas"])
    place.manifest("tiny", "tensors")
    with pytest.raises(Unavailable, match=r"no NVIDIA GPU.*\+cpu"):
        await place.store().ensure("tiny")
    assert not place.built()


async def test_a_full_disk_is_said_and_leaves_nothing(place: Place) -> None:
    wheel(place.wheels, "large", padding=8 << 20)
    place.manifest("tiny", "large")
    place.environments.mkdir()
    small = f'mount -t tmpfs -o size=2m none {place.environments} && exec "$@"; exit 99'
    enter = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    if not succeeds(*enter, small.replace('exec "$@"', "exit 0"), "sh"):
        pytest.skip("this machine allows no mount in a user namespace")
    listing = f'"$@"; ls -A {place.environments}; exit 0'
    process = place.process("tiny", prefix=(*enter, small.replace('exec "$@"', listing), "sh"))
    output = process.communicate()[0]
    assert output.startswith("StorageFull")
    assert output.splitlines()[1:] == [".locks"]


@pytest.mark.skipif(os.environ.get("MADANG_TEST_NETWORK") is None, reason="downloads 150 MB; set MADANG_TEST_NETWORK")
async def test_the_shipped_python_environment_builds(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path / "environments", [builtin_manifests()], tmp_path / "cache", SystemClock())
    environment = await store.ensure("python")
    check = "import numpy, pandas, sklearn, matplotlib, jupyterlab, ipykernel"
    run_in(environment, check)
    await store.close()
