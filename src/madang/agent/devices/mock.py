"""Pretended NVIDIA GPUs: the whole platform with GPUs, on a machine that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from madang.agent.devices.base import Attachment, Discovery, find
from madang.domain.errors import InvalidInput, InvalidSlots
from madang.domain.slots import parse_amount
from madang.schemas.agent import DeviceInfo, DeviceShare

MAX_MOCKS: Final = 128
_GIB: Final = 1 << 30
_PART: Final = re.compile(r"(\d{1,4})\s*[xX*]\s*([A-Za-z][A-Za-z0-9 ._-]{0,39}?)\s*(?::\s*([0-9.]+\s*[A-Za-z]*))?")


@dataclass(frozen=True, slots=True)
class _Model:
    """What a machine with such GPUs usually is: `linked` of them have NVLink among each other."""

    mem: int  # bytes
    linked: int = 1


_MODELS: Final = {
    "V100": _Model(32 * _GIB, 4),
    "P100": _Model(16 * _GIB),
    "T4": _Model(16 * _GIB),
    "A10": _Model(24 * _GIB),
    "A30": _Model(24 * _GIB, 2),
    "A40": _Model(48 * _GIB, 2),
    "A100": _Model(80 * _GIB, 4),
    "A800": _Model(80 * _GIB, 4),
    "L4": _Model(24 * _GIB),
    "L40S": _Model(48 * _GIB),
    "H100": _Model(80 * _GIB, 4),
    "H200": _Model(141 * _GIB, 4),
    "B200": _Model(180 * _GIB, 4),
    "RTX 3090": _Model(24 * _GIB, 2),
    "RTX 4090": _Model(24 * _GIB),
    "RTX 5090": _Model(32 * _GIB),
}


def parse_mock_gpus(written: str) -> tuple[DeviceInfo, ...]:
    """Read `4xA100,2xT4`, or `2xNAME:48g` for a model that is not known here.

    On a machine with several GPUs of a model, the first half is on NUMA node 0 and the rest on 1. Raises InvalidInput.
    """
    found: list[DeviceInfo] = []
    for part in written.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or int(match[1]) == 0:
            raise InvalidInput(_advice(written, f"'{part.strip()}' is not COUNTxMODEL"))
        count = int(match[1])
        if len(found) + count > MAX_MOCKS:
            raise InvalidInput(_advice(written, f"a node has at most {MAX_MOCKS} of them"))
        name = next((known for known in _MODELS if known.lower() == match[2].lower()), match[2])
        found += _group(name, count, _model(written, name, match[3]), len(found))
    return tuple(found)


def _advice(written: str, problem: str) -> str:
    return (
        f"Mock GPUs '{written}': {problem}. Write e.g. 4xA100 or 4xA100,2xT4; known models are {', '.join(_MODELS)}, "
        "and 2xNAME:48g makes any other."
    )


def _model(written: str, name: str, memory: str | None) -> _Model:
    if memory is None:
        if name not in _MODELS:
            raise InvalidInput(_advice(written, f"the memory of {name} is not known"))
        return _MODELS[name]
    try:
        size = parse_amount("mem", memory.strip())
    except InvalidSlots:
        size = 0
    if size < _GIB:
        raise InvalidInput(_advice(written, f"the memory '{memory.strip()}' is not a size such as 48g"))
    linked = _MODELS[name].linked if name in _MODELS else 1
    return _Model(size, linked)


def _group(name: str, count: int, model: _Model, first: int) -> list[DeviceInfo]:
    """GPUs of one model with consecutive indices."""
    made = []
    for place in range(count):
        index = first + place
        begin = place - place % model.linked
        peers = range(first + begin, first + min(begin + model.linked, count))
        made.append(
            DeviceInfo(
                kind="cuda",
                index=index,
                id=f"MOCK-{name.replace(' ', '-')}-{index}",
                model=name,
                mem=model.mem,
                numa=place * 2 // count,
                links=[peer for peer in peers if peer != index],
                mock=True,
            )
        )
    return made


class MockDevices:
    """Devices of kind `cuda` that are held and shown like real ones, but compute nothing."""

    kind = "cuda"

    def __init__(self, written: str) -> None:
        self._devices = {device.id: device for device in parse_mock_gpus(written)}

    def discover(self) -> Discovery:
        return Discovery(tuple(self._devices.values()))

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        # CUDA knows no such ids: without walls, real GPUs of the machine are not used by mistake either.
        return Attachment({"CUDA_VISIBLE_DEVICES": ",".join(find(self._devices, share).id for share in shares)})
