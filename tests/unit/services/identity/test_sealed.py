"""A sealed secret opens with the key file only, and only where it belongs."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest

from madang.domain.errors import StartupError, Unavailable
from madang.services.identity.sealed import FILE_NAME, Sealer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def test_a_secret_comes_back_also_after_a_restart(path: Path) -> None:
    sealed = Sealer.open(path).seal("비밀", "totp:ann")
    assert "비밀" not in sealed
    assert Sealer.open(path).unseal(sealed, "totp:ann") == "비밀"


def test_the_key_is_for_its_owner_only(path: Path) -> None:
    Sealer.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [FILE_NAME]


def test_the_same_secret_never_looks_the_same(path: Path) -> None:
    sealer = Sealer.open(path)
    assert len({sealer.seal("same", "totp:ann") for _ in range(50)}) == 50


def test_a_secret_moved_to_another_row_does_not_open(path: Path) -> None:
    sealer = Sealer.open(path)
    sealed = sealer.seal("secret", "totp:ann")
    with pytest.raises(Unavailable, match="damaged or belongs elsewhere"):
        sealer.unseal(sealed, "totp:bob")


def test_every_change_is_noticed(path: Path) -> None:
    sealer = Sealer.open(path)
    sealed = sealer.seal("secret", "p")
    head, _, text = sealed.rpartition(".")
    data = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for index in range(len(data)):
        data[index] ^= 1
        changed = base64.urlsafe_b64encode(data).decode().rstrip("=")
        data[index] ^= 1
        with pytest.raises(Unavailable):
            sealer.unseal(f"{head}.{changed}", "p")


@pytest.mark.parametrize("sealed", ["", ".", "secret", "s1", "s1..", "s2.00000000.AAAA", "s1.{key}.", "s1.{key}.é"])
def test_what_was_never_sealed_does_not_open(path: Path, sealed: str) -> None:
    sealer = Sealer.open(path)
    with pytest.raises(Unavailable):
        sealer.unseal(sealed.replace("{key}", sealer.fingerprint), "p")


def test_another_key_opens_nothing_and_the_message_names_both(path: Path) -> None:
    first = Sealer.open(path)
    sealed = first.seal("secret", "p")
    path.unlink()
    second = Sealer.open(path)
    assert first.fingerprint != second.fingerprint
    with pytest.raises(Unavailable, match=f"{first.fingerprint}.*{second.fingerprint}"):
        second.unseal(sealed, "p")


def test_a_key_is_changed_without_losing_what_was_sealed(path: Path, tmp_path: Path) -> None:
    old = Sealer.open(path).seal("secret", "p")
    Sealer.open(tmp_path / "other")
    path.write_text((tmp_path / "other").read_text() + path.read_text())
    sealer = Sealer.open(path)
    assert sealer.unseal(old, "p") == "secret"
    assert not sealer.is_current(old)
    assert sealer.is_current(sealer.seal("secret", "p"))


def test_two_who_start_at_once_have_one_key(path: Path) -> None:
    found: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        found.append(Sealer.open(path).fingerprint)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe", b"A" * 42, b"A" * 43 + b"\nshort\n"])
def test_a_damaged_key_is_told_at_the_start(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError, match="damaged"):
        Sealer.open(path)
    assert path.read_bytes() == content, "nothing is overwritten"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    Sealer.open(path)
    path.chmod(mode)
    with pytest.raises(StartupError, match="chmod 600"):
        Sealer.open(path)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be used"):
        Sealer.open(tmp_path / "missing" / FILE_NAME)


def test_a_digest_is_the_same_again_and_tells_nothing_without_the_key(path: Path, tmp_path: Path) -> None:
    made = Sealer.open(path).digest("minji")
    assert Sealer.open(path).digest("minji") == made
    assert Sealer.open(path).digest("mina") != made
    assert Sealer.open(tmp_path / "other").digest("minji") != made
    assert len(Sealer.open(path).digest("\ud800")) == 64
