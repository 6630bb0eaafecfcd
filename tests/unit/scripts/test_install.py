"""Installing follows pip's configuration and takes nothing but what the lock file names."""

from __future__ import annotations

import subprocess
import sys

from scripts.install import ROOT, locked_uv, uses_mirror


def test_only_another_index_than_pypi_is_a_mirror() -> None:
    assert uses_mirror({"index-url": "https://mirror.example/simple"})
    assert uses_mirror({"no-index": "1"})
    assert not uses_mirror({"extra-index-url": "https://a.example"})
    assert not uses_mirror({"index-url": "https://pypi.org/simple"})


def test_uv_itself_is_pinned_with_hashes() -> None:
    lock = {"package": [{"name": "uv", "version": "1.2.3", "wheels": [{"hash": "sha256:ab"}, {"hash": "sha256:cd"}]}]}
    assert locked_uv(lock) == "uv==1.2.3 --hash=sha256:ab --hash=sha256:cd\n"


def test_reading_pips_configuration_needs_nothing_installed() -> None:
    sources = ROOT / "src" / "madang" / "agent" / "environments" / "sources.py"
    subprocess.run([sys.executable, "-I", "-S", str(sources)], check=True)
