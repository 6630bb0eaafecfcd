"""Fails when a file that git tracks, or would track, holds something that looks like a secret."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

KNOWN = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a Madang token": re.compile(r"\bmdg_[A-Za-z0-9_-]{16,}"),
    "the secret of a signing key": re.compile(r"\bmds_[A-Za-z0-9_-]{16,}"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
}
ASSIGNED = re.compile(
    r"""(?:password|passwd|secret|token|api_?key|private_?key|credential)\w*["']?\s*[:=]\s*["']([^"'\s]{20,})["']""",
    re.IGNORECASE,
)
SKIPPED = {"uv.lock", "package-lock.json"}


def entropy(text: str) -> float:
    """Bits a character: about 4 to 6 for random keys, below 3.6 for words."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def is_random(value: str) -> bool:
    """Whether a quoted value looks drawn by a machine rather than written by a person."""
    kinds = (str.isdigit, str.isalpha)
    return all(any(kind(letter) for letter in value) for kind in kinds) and entropy(value) > 3.6


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, and what was found there; the secret itself is never repeated."""
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in KNOWN.items():
            if pattern.search(line):
                yield number, what
        if any(is_random(value) for value in ASSIGNED.findall(line)):
            yield number, "a random value under a secret's name"


def candidates() -> list[Path]:
    """Every file of the repository, the not yet added ones included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paths = (Path(name) for name in listing.split("\0") if name)
    return [path for path in paths if path.name not in SKIPPED and path.is_file()]


def main() -> None:
    found = []
    for path in candidates():
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            found += [f"{path}:{line}: {what}" for line, what in findings(data.decode(errors="replace"))]
    if found:
        sys.exit("\n".join(found) + "\nMake such values when the program runs, or in a test compose them from parts.")


if __name__ == "__main__":
    main()
