"""Closed networks: what pip is configured with, uv gets too, unless uv was told otherwise."""

from __future__ import annotations

from pathlib import Path

from madang.agent.environments.manifest import Recipe
from madang.agent.environments.sources import pip_options, uv_environment, with_recipe


def test_pip_files_and_variables_are_merged_with_the_strongest_last(tmp_path: Path) -> None:
    system, user = tmp_path / "system.conf", tmp_path / "user.conf"
    system.write_text("[global]\nindex-url = https://system/simple\ncert = /etc/ca.pem\ntimeout = 3\n")
    user.write_text(
        "[install]\nfind_links =\n    /srv/a\n    /srv/b\n[global]\nextra-index-url = https://x/1 https://x/2\n"
    )
    options = pip_options({"PIP_INDEX_URL": "https://variable/simple"}, [system, user, tmp_path / "missing"])
    assert options == {
        "index-url": "https://variable/simple",
        "cert": "/etc/ca.pem",
        "find-links": "/srv/a /srv/b",
        "extra-index-url": "https://x/1 https://x/2",
    }


def test_a_broken_pip_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("index-url without a section")
    assert pip_options({}, [tmp_path / "pip.conf"]) == {}


def test_uv_gets_what_pip_has() -> None:
    pip = {
        "index-url": "https://mirror/simple",
        "extra-index-url": "https://x/1 https://x/2",
        "find-links": "/srv/a /srv/b",
        "cert": "/etc/ca.pem",
        "trusted-host": "mirror",
        "no-index": "true",
    }
    variables = uv_environment({"LANG": "C", "VIRTUAL_ENV": "/v", "MADANG_TOKEN": "secret"}, Path("/cache"), pip)
    assert variables["UV_DEFAULT_INDEX"] == "https://mirror/simple"
    assert variables["UV_INDEX"] == "https://x/1 https://x/2"
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert variables["UV_FIND_LINKS"] == "/srv/a,/srv/b"
    assert variables["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert variables["UV_INSECURE_HOST"] == "mirror"
    assert variables["UV_NO_INDEX"] == "1"
    assert variables["UV_CACHE_DIR"] == "/cache"
    assert variables["LANG"] == "C"
    assert not {"VIRTUAL_ENV", "MADANG_TOKEN"} & variables.keys()


def test_what_uv_was_told_is_stronger_than_pip() -> None:
    environ = {"UV_INDEX_URL": "https://uv/simple", "UV_FIND_LINKS": "/uv", "UV_CACHE_DIR": "/elsewhere"}
    pip = {"index-url": "https://pip/simple", "find-links": "/pip"}
    variables = uv_environment(environ, Path("/cache"), pip)
    assert "UV_DEFAULT_INDEX" not in variables
    assert variables["UV_FIND_LINKS"] == "/uv"
    assert variables["UV_CACHE_DIR"] == "/cache"


def test_the_manifests_own_places_come_first() -> None:
    variables = {"UV_INDEX": "https://x/1", "UV_FIND_LINKS": "/srv/a"}
    merged = with_recipe(variables, Recipe((), ("https://own/simple",), ("/own",)))
    assert merged["UV_INDEX"] == "https://own/simple https://x/1"
    assert merged["UV_FIND_LINKS"] == "/own,/srv/a"
