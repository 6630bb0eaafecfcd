"""Writes docs/openapi.json: `python -m madang.api.openapi [--check]`; needs no database and no node."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from madang.api.app import create_app

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "openapi.json"


def render() -> str:
    """The document as text that is the same whenever the API is."""
    return json.dumps(create_app(None).openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    parser.add_argument("path", nargs="?", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    text = render()
    if not arguments.check:
        arguments.path.parent.mkdir(parents=True, exist_ok=True)
        arguments.path.write_text(text)
        return 0
    if arguments.path.is_file() and arguments.path.read_text() == text:
        return 0
    sys.stderr.write(f"{arguments.path} is stale: run `python -m madang.api.openapi` and commit it.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
