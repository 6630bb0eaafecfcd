"""Every message is there in both languages, and the check that says so can be trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from madang.cli.i18n import CATALOGUES, language, problems, t


def test_both_catalogues_are_complete() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "MADANG_LANG": "ko"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "MADANG_LANG": "en"}, "en"),
    ],
)
def test_the_language_follows_the_environment(environ: dict[str, str], chosen: str) -> None:
    assert language(environ) == chosen


def test_help_is_korean_for_koreans() -> None:
    command = [sys.executable, "-m", "madang.cli.main", "run", "--help"]
    environ = {**os.environ, "MADANG_LANG": "ko", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert CATALOGUES["ko"]["run.cpu"].split(" ")[0] in done.stdout


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("t('main.nothing')", "'main.nothing' is missing in ko"),
        ("t('run.bad_size')", "'run.bad_size' needs ['written'] and is given []"),
        ("t(key)", "a key has to be written out"),
    ],
)
def test_the_check_finds_what_is_wrong_in_the_sources(tmp_path: Path, code: str, complaint: str) -> None:
    (tmp_path / "command.py").write_text(code)
    found = problems(tmp_path)
    assert any(complaint in line for line in found)
    assert any("is not used anywhere" in line for line in found)


def test_placeholders_are_filled_in() -> None:
    assert "http://here" in t("error.no_answer", url="http://here")
