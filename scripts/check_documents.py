"""Fails when the English and Korean READMEs disagree in structure or commands, or a document links to nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HEADING = re.compile(r"^(#+) ", re.MULTILINE)
BLOCK = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]+src=\"([^\"]+)\"")


def commands(document: str) -> list[str]:
    """The lines of all code blocks without comments, which are translated."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for block in BLOCK.findall(document) for line in block.splitlines())
    return [line for line in lines if line]


def headings(document: str) -> list[str]:
    """The levels of the headings in order, code blocks left out."""
    return HEADING.findall(BLOCK.sub("", document))


def differences(english: str, korean: str) -> list[str]:
    """What one has and the other has not, in sentences."""
    found = []
    if headings(english) != headings(korean):
        found.append(f"README.md has headings {headings(english)}, README.ko.md {headings(korean)}.")
    for command in sorted(set(commands(english)) ^ set(commands(korean))):
        where = "README.md" if command in commands(english) else "README.ko.md"
        found.append(f"Only {where} has the command: {command}")
    return found


def dead_links(path: Path) -> list[str]:
    """Links of a document to files that do not exist."""
    targets = (first or second for first, second in LINK.findall(BLOCK.sub("", path.read_text())))
    local = (target for target in targets if "://" not in target and not target.startswith("mailto:"))
    return [f"{path} links to {target}, which is not there." for target in local if not (path.parent / target).exists()]


def main() -> None:
    found = differences(Path("README.md").read_text(), Path("README.ko.md").read_text())
    for path in [*Path().glob("*.md"), *Path("docs").rglob("*.md"), *Path("examples").rglob("*.md")]:
        found += dead_links(path)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
