"""`madang up` says what it cannot do before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.test_main import madang


@pytest.mark.parametrize(("option", "variable"), [("4A100", ""), ("", "4A100")])
def test_mock_gpus_that_cannot_be_read_are_one_clear_error(data_dir: Path, option: str, variable: str) -> None:
    options = ["--mock-gpus", option] if option else []
    made = data_dir / "data"
    done = madang("up", *options, MADANG_DATA_DIR=str(made), **({"MADANG_MOCK_GPUS": variable} if variable else {}))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Write e.g. 4xA100 or 4xA100,2xT4" in done.stderr
    assert not made.exists()
