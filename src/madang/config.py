"""Settings: from the command line, then MADANG_* variables, then these defaults."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from madang.domain.names import NAME_PATTERN
from madang.paths import default_data_dir

__all__ = ["Settings", "default_data_dir", "default_node_name"]


def default_node_name() -> str:
    """The machine's host name, cut to its first label."""
    return (socket.gethostname().split(".")[0] or "node").lower()


class Settings(BaseSettings):
    """Everything that can be configured, each as MADANG_<NAME> too."""

    model_config = SettingsConfigDict(env_prefix="MADANG_", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir)
    host: str = "127.0.0.1"
    port: int = Field(default=7420, ge=0, le=65535)  # 0: any free port
    database_url: str | None = None  # postgresql://...; unset: the embedded server
    node_name: str = Field(default_factory=default_node_name)
    mock_gpus: str = ""  # GPUs to pretend instead of the machine's own: 4xA100,2xT4
    runtime: str = Field(default="auto", pattern="^(auto|bubblewrap|process)$")
    prebuild: bool = True  # build the `python` environment at the first start
    upload_limit_bytes: int = Field(default=1 << 30, ge=1)  # size of one upload, packed and unpacked
    log_limit_bytes: int = Field(default=64 << 20, ge=1 << 16)  # newest output kept of each container
    launches: int = Field(default=256, ge=1)  # sessions prepared at the same time, builds of environments included
    keep_ended_days: float = Field(default=7, gt=0)  # files and logs of ended sessions are kept so long
    audit_days: float = Field(default=0, ge=0)  # who changed what is kept so long; 0: for ever
    browser_days: float = Field(default=14, gt=0)  # who signed in with a browser has to sign in again after so long
    browser_idle_hours: float = Field(default=72, gt=0)  # or when nothing was asked for so long
    login_days: float = Field(default=90, gt=0)  # tokens that are made by signing in are good so long
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/#?]+$")  # as people reach it, for links
    trusted_proxies: str = ""  # addresses and networks whose X-Forwarded-For is believed: 127.0.0.1,10.0.0.0/8
    smtp_url: str | None = Field(default=None, repr=False)  # smtp[s]://user:password@host:port; unset: no mail
    mail_from: str | None = None  # the sender of mail
    sign_in_file: Path | None = None  # of other systems to sign in with; unset: sign-in.toml in the data directory
    directory_minutes: float = Field(default=15, gt=0)  # so often directories are asked whom they disabled or moved
    sign_up: bool = False  # whether people may make an account alone; needs mail
    sign_up_domain: str = Field(default="default", pattern=NAME_PATTERN)  # that they are in then
    mem_reserve_bytes: int = Field(default=1 << 30, ge=0)  # of the node, never offered to sessions
    login_hint: bool = True  # print the token's place at the first start
