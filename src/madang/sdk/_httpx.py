"""httpx without its own command line program, whose import takes as long as the rest of httpx."""

from __future__ import annotations

import sys

_PROGRAM = "httpx._main"

if _PROGRAM not in sys.modules:
    # None makes the import fail, which httpx expects where its extra `cli` is not installed.
    sys.modules[_PROGRAM] = None  # type: ignore[assignment]
    try:
        import httpx
    finally:
        del sys.modules[_PROGRAM]
else:
    import httpx

__all__ = ["httpx"]
