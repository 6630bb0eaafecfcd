"""A disk that is nearly full takes no new work, and says so while it still can."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.domain.errors import StorageFull
from madang.services.room import Room


def test_a_disk_with_room_takes_work(tmp_path: Path) -> None:
    Room(tmp_path, lambda _: 1 << 30).require()


def test_a_nearly_full_disk_says_where_to_make_room(tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match=str(tmp_path)) as caught:
        Room(tmp_path, lambda _: 5 << 20).require()
    assert "5 MiB" in caught.value.message
