"""Fails when a file has more than 500 lines or a function more than 70: such code is not read in one sitting."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 500
FUNCTION_LINES = 70
FOLDERS = ("src", "benchmarks", "scripts", "examples")


def too_long(name: str, source: str) -> Iterator[str]:
    """What is too long in one Python file; migrations tell history from top to bottom and may be long functions."""
    lines = source.count("\n")
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, at most {FILE_LINES} are allowed"
    if "/migrations/" in name:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES} are allowed"


def main() -> None:
    paths = (path for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py")))
    found = [line for path in paths for line in too_long(str(path), path.read_text())]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
