"""Which kinds of device a node looks for: our own, and those of installed packages."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from madang.agent.devices.base import DevicePlugin
from madang.agent.devices.cuda import CudaDevices
from madang.agent.devices.mock import MockDevices
from madang.agent.devices.rocm import RocmDevices
from madang.agent.devices.tpu import TpuDevices
from madang.schemas.agent import DEVICE_KIND

GROUP: Final = "madang.devices"
"""Entry points of this group name a callable that takes the root directory (a Path) and returns a DevicePlugin."""


def load_plugins(mock_gpus: str = "", root: Path = Path("/")) -> tuple[list[DevicePlugin], list[str]]:
    """All plug-ins, and why others could not be loaded.

    With `mock_gpus` (`4xA100`) the machine's own NVIDIA GPUs are left alone. Raises InvalidInput for bad text of it.
    """
    plugins: list[DevicePlugin] = [
        MockDevices(mock_gpus) if mock_gpus else CudaDevices(root),
        RocmDevices(root),
        TpuDevices(root),
    ]
    problems: list[str] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            made: object = point.load()(root)
        except Exception as error:  # somebody else's code must not take the node down
            problems.append(f"device plug-in '{point.name}' cannot be loaded: {type(error).__name__}: {error}")
            continue
        if not isinstance(made, DevicePlugin) or not re.fullmatch(DEVICE_KIND, made.kind):
            problems.append(f"device plug-in '{point.name}' is no DevicePlugin with a kind of lower-case letters")
        elif made.kind in {plugin.kind for plugin in plugins}:
            problems.append(f"device plug-in '{point.name}' is left out: the kind {made.kind} is there already")
        else:
            plugins.append(made)
    return plugins, problems
