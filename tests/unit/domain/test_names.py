"""Names, variables and paths: what is good passes unchanged, what is hostile is refused in words people understand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.errors import InvalidInput, UnsafePath
from madang.domain.names import check_name, check_variables, is_loopback, link_stays, relative_path


@pytest.mark.parametrize("name", ["a", "7", "train", "a-b", "a--b", "0-0", "x" * 40])
def test_good_names_pass_unchanged(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a-",
        "-",
        "A",
        "a_b",
        "a.b",
        "a b",
        "a/b",
        "a\n",
        "\na",
        "a\0",
        "마당",
        "ａ",
        "é",
        "x" * 41,
        "x" * 100000,
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_names_that_could_not_be_host_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a valid name: use 1 to 40") as refused:
        check_name(name)
    assert len(refused.value.message) < 250


def test_variables_pass_unchanged() -> None:
    variables = {"PATH": "/bin", "_x1": "", "LANG": "한국어\n=", "A" * 128: "y"}
    assert check_variables(variables) is variables


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=B", "A B", "A\n", "É", "A\0", "A" * 129])
def test_names_that_no_environment_can_hold_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a name for an environment variable"):
        check_variables({name: "value"})


def test_a_value_that_no_environment_can_hold_is_refused_but_not_shown() -> None:
    with pytest.raises(InvalidInput, match="The value of TOKEN contains a NUL") as refused:
        check_variables({"TOKEN": "secret\0"})
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", ()),
        (".", ()),
        ("./", ()),
        ("a", ("a",)),
        ("a/b/c.txt", ("a", "b", "c.txt")),
        ("./a//b/./c/", ("a", "b", "c")),
        ("자료/데이터.csv", ("자료", "데이터.csv")),
        ("e\u0301/\u00e9", ("e\u0301", "\u00e9")),  # not normalised: they are two different files
        ("...", ("...",)),
        ("..a/b..", ("..a", "b..")),
        ("a\\..\\b", ("a\\..\\b",)),
        ("~/a", ("~", "a")),
        ("a b/\t\n", ("a b", "\t\n")),
        ("$(x)/`y`", ("$(x)", "`y`")),
        ("\udcff\udcfe", ("\udcff\udcfe",)),  # a file whose name is no text
        ("x" * 255, ("x" * 255,)),
    ],
)
def test_paths_that_stay_are_split(path: str, parts: tuple[str, ...]) -> None:
    assert relative_path(path) == parts


_HOSTILE = [
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "..",
    "../",
    "../x",
    "a/..",
    "a/../b",
    "a/b/../../..",
    "./..",
    ".//..//x",
    "a\0b",
    "\0",
    "a/\0",
    "../\0",
    "x" * 256,
    "한" * 86,  # 258 bytes
    "a/" * 2049,
    "x/" * 100000,
    "\ud800",  # half a character: no file system has a name for it
]


@pytest.mark.parametrize("path", _HOSTILE, ids=lambda path: ascii(path)[:20])
def test_paths_that_leave_or_cannot_exist_are_refused(path: str) -> None:
    with pytest.raises(UnsafePath) as refused:
        relative_path(path)
    assert len(refused.value.message) < 300
    assert refused.value.message.endswith(".")


@given(st.text(alphabet=st.sampled_from("ab./\0\\ ~한\ud800\udc80"), max_size=40))
def test_whatever_is_accepted_consists_of_plain_parts(path: str) -> None:
    try:
        parts = relative_path(path)
    except UnsafePath:
        return
    assert not any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts)
    assert relative_path("/".join(parts)) == parts


@pytest.mark.parametrize(
    ("directory", "target", "stays"),
    [
        ((), "a", True),
        ((), "a/b", True),
        ((), ".", True),
        (("d",), "..", True),
        (("d",), "../a", True),
        (("d", "e"), "../../a", True),
        ((), "..", False),
        (("d",), "../../a", False),
        (("d",), "a/..", False),  # a may be a link itself
        (("d",), "a/../../..", False),
        ((), "/", False),
        ((), "/etc", False),
        ((), "", False),
        ((), "a\0b", False),
    ],
)
def test_links_stay_only_when_no_chain_of_them_can_leave(directory: tuple[str, ...], target: str, stays: bool) -> None:
    assert link_stays(directory, target) is stays


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "192.168.0.1",
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "mylocalhost",
        "128.0.0.1",
        "::ffff:8.8.8.8",
        "2130706433",
        "127.0.0.1:80",
        "127.0.0.1\n",
    ],
)
def test_other_machines_and_whatever_may_be_one(host: str) -> None:
    assert not is_loopback(host)
