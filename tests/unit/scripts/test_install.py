"""Installing follows pip's configuration, which uv does not read."""

from __future__ import annotations

from scripts.install import locked_uv, pip_settings, uses_mirror, uv_environment

LISTING = """\
:env:.cert='/etc/company.pem'
global.cert='/etc/other.pem'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
global.find-links='/opt/wheels'
install.index-url='https://mirror.example/simple'
"""


def test_mirrors_and_certificates_of_pip_reach_uv() -> None:
    variables = uv_environment(pip_settings(LISTING), {})
    assert variables["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert variables["UV_INDEX"] == "https://a.example/simple https://b.example/simple"
    assert variables["UV_FIND_LINKS"] == "/opt/wheels"
    assert variables["SSL_CERT_FILE"] == "/etc/company.pem", "the environment beats the files"


def test_what_uv_was_told_itself_is_left_alone() -> None:
    assert "UV_DEFAULT_INDEX" not in uv_environment(pip_settings(LISTING), {"UV_DEFAULT_INDEX": "https://mine.example"})


def test_only_another_index_than_pypi_is_a_mirror() -> None:
    assert uses_mirror(pip_settings(LISTING))
    assert uses_mirror({"no-index": "1"})
    assert not uses_mirror({"extra-index-url": "https://a.example"})
    assert not uses_mirror({"index-url": "https://pypi.org/simple"})


def test_uv_itself_is_pinned_with_hashes() -> None:
    lock = {"package": [{"name": "uv", "version": "1.2.3", "wheels": [{"hash": "sha256:ab"}, {"hash": "sha256:cd"}]}]}
    assert locked_uv(lock) == "uv==1.2.3 --hash=sha256:ab --hash=sha256:cd\n"
