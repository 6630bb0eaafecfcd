"""A disk that is nearly full takes no new work, and says so while it still can."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from madang.domain.errors import StorageFull
from madang.services.room import Room


def test_a_disk_with_room_takes_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40))
    Room(tmp_path).require()


def test_a_nearly_full_disk_says_where_to_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 1 << 40, 5 << 20))
    with pytest.raises(StorageFull, match=str(tmp_path)) as caught:
        Room(tmp_path).require()
    assert "5 MiB" in caught.value.message
