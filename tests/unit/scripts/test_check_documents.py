"""A translated README may differ in words, never in structure or commands."""

from __future__ import annotations

from pathlib import Path

from scripts.check_documents import dead_links, differences

ENGLISH = "# Name\n## Start\n```\nmake demo  # two minutes\n```\n"


def test_translated_words_and_comments_are_no_difference() -> None:
    assert not differences(ENGLISH, "# 이름\n## 시작\n```\nmake demo  # 이 분\n```\n")


def test_a_missing_heading_and_another_command_are_named() -> None:
    found = differences(ENGLISH, "# 이름\n```\nmake test\n```\n")
    assert any("headings" in line for line in found)
    assert "Only README.md has the command: make demo" in found
    assert "Only README.ko.md has the command: make test" in found


def test_links_to_missing_files_are_found_and_web_links_are_not_followed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](there.md) [b](gone.md#part) [c](https://example.org/x)")
    (tmp_path / "there.md").touch()
    assert [line.split()[3] for line in dead_links(page)] == ["gone.md,"]
