"""Which server a client speaks to, and the file of profiles that only its owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from madang.domain.errors import InvalidInput
from madang.sdk.connection import Connection
from madang.sdk.errors import NoServer
from madang.sdk.finding import find_connection, find_named
from madang.sdk.profiles import change_profiles, profiles_file, read_profiles

LAB = Connection(url="https://lab.example", token="mdg_lab")
SNU = Connection(url="https://snu.example", token="mdg_snu")


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MADANG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MADANG_DATA_DIR", str(tmp_path))


def _local(tmp_path: Path) -> Connection:
    made = Connection(url="http://127.0.0.1:7420", token="mdg_local")
    (tmp_path / "connection.json").write_text(made.model_dump_json(exclude_defaults=True))
    return made


def test_variables_go_before_profiles_and_these_before_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoServer, match="madang login"):
        find_connection()
    local = _local(tmp_path)
    assert find_named() == (None, local)
    change_profiles(lambda kept: kept.having("snu", SNU))
    change_profiles(lambda kept: kept.having("lab", LAB))
    assert find_named() == ("lab", LAB)
    monkeypatch.setenv("MADANG_PROFILE", "snu")
    assert find_named() == ("snu", SNU)
    assert find_named(profile="lab") == ("lab", LAB)
    assert find_connection(profile="local") == local
    monkeypatch.setenv("MADANG_URL", "http://other")
    monkeypatch.setenv("MADANG_KEY", "mdk_a")
    with pytest.raises(NoServer, match="MADANG_SECRET"):
        find_connection()
    monkeypatch.setenv("MADANG_SECRET", "mds_b")
    assert find_connection() == Connection(url="http://other", key="mdk_a", secret="mds_b")
    monkeypatch.setenv("MADANG_TOKEN", "mdg_c")
    assert find_connection() == Connection(url="http://other", token="mdg_c")
    assert find_connection("http://third", "mdg_d") == Connection(url="http://third", token="mdg_d")


def test_profiles_are_used_forgotten_and_named_as_it_should_be(tmp_path: Path) -> None:
    local = _local(tmp_path)
    change_profiles(lambda kept: kept.having("lab", LAB))
    change_profiles(lambda kept: kept.using("local"))
    assert find_connection() == local
    change_profiles(lambda kept: kept.using("lab"))
    with pytest.raises(NoServer, match="Those there are: lab"):
        change_profiles(lambda kept: kept.using("nope"))
    for bad in ("local", "", "a b", "x" * 61):
        with pytest.raises(InvalidInput, match="name of a profile"):
            read_profiles().having(bad, LAB)
    assert change_profiles(lambda kept: kept.without("lab")).default is None


def test_a_file_that_others_can_read_is_refused() -> None:
    change_profiles(lambda kept: kept.having("lab", LAB))
    path = profiles_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == [".profiles.json.lock", "profiles.json"]
    path.chmod(0o640)
    with pytest.raises(NoServer, match="chmod 600"):
        find_connection()
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(NoServer, match="damaged"):
        find_connection()


def test_what_is_printed_of_a_connection_tells_no_secret() -> None:
    assert "mdg_lab" not in repr(LAB)
    assert "mds_b" not in repr(Connection(url="http://x", key="mdk_a", secret="mds_b"))
