"""What an agent is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Settings of one node.

    Attributes:
        data_dir: the platform's data directory; the agent's own files are in `agent/`, `environments/`, `cache/`.
        node_name: stable name of the node.
        runtime: `auto`, `bubblewrap` or `process`.
        mem_reserve_bytes: memory of the machine that is never offered to sessions.
        work_limit_bytes: size of one unpacked archive.
        mock_gpus: GPUs to pretend, `4xA100,2xT4`, instead of the machine's own; empty: none.
    """

    data_dir: Path
    node_name: str
    runtime: str = "auto"
    mem_reserve_bytes: int = 1 << 30
    work_limit_bytes: int = 1 << 30
    mock_gpus: str = ""
