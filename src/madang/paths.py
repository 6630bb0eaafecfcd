"""Where Madang keeps its state when nobody says otherwise; apart from the settings so that clients start fast."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """Where all state lives: /var/lib/madang as root (never root's home), else the user's data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/madang")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "madang"
