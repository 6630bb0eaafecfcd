"""Presets: named slot bundles, and which ones a new resource group begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from madang.domain.devices import device_slot, is_device_slot

_GIB: Final = 1 << 30
_CORE: Final = 1000
_PARTS: Final = {"small": 8, "medium": 4, "large": 2}


def filled(preset: Mapping[str, int], given: Mapping[str, str | int]) -> dict[str, str | int]:
    """What is asked for with a preset: what is given beside it counts instead, slot by slot, and devices of any form
    instead of all its devices."""
    devices = any(is_device_slot(slot) for slot in given)
    return {**{slot: amount for slot, amount in preset.items() if not (devices and is_device_slot(slot))}, **given}


def first_presets(cpu: int, mem: int, devices: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Presets for nodes that are at least so large: an eighth, a quarter and half of one in whole cores and GiB, where
    they differ, and a device with its part of the node. `devices`: how many of each kind."""
    found: dict[str, dict[str, int]] = {}
    for name, part in _PARTS.items():
        bundle = _bundle(cpu, mem, part)
        if bundle and bundle not in found.values():
            found[name] = bundle
    for kind, count in sorted(devices.items()):
        bundle = _bundle(cpu, mem, max(count, 1))
        if count and bundle:
            name = "gpu" if "gpu" not in found and kind in ("cuda", "rocm") else kind
            found[name] = {**bundle, device_slot(kind): 1}
    return found


def _bundle(cpu: int, mem: int, part: int) -> dict[str, int]:
    """A part of a node, at least a core and a GiB; empty where it has not so much."""
    bundle = {
        "cpu": max(cpu // part // _CORE, 1) * _CORE,
        "mem": max(mem // part // _GIB, 1) * _GIB,
    }
    return bundle if bundle["cpu"] <= cpu and bundle["mem"] <= mem else {}
