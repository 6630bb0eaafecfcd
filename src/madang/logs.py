"""Where the program's own messages go: warnings to the terminal, everything to a file that stays small."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Final

import structlog

_FILE_BYTES: Final = 8 << 20
_COMMON: Final[list[structlog.typing.Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def configure_logs(directory: Path) -> None:
    """Write INFO and above as JSON lines into `madang.log` of a directory, WARNING and above to stderr."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(_formatter(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())))
    file = logging.handlers.RotatingFileHandler(
        directory / "madang.log", maxBytes=_FILE_BYTES, backupCount=1, encoding="utf-8"
    )
    file.setFormatter(_formatter(structlog.processors.JSONRenderer()))
    root = logging.getLogger()
    root.handlers = [terminal, file]
    root.setLevel(logging.INFO)
    for chatty in ("alembic", "uvicorn", "uvicorn.access", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*_COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _formatter(renderer: structlog.typing.Processor) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
