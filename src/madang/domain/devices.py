"""Devices that containers hold: whole ones, several, or thousandths of one, of the models people name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from madang.domain.errors import InvalidSlots

WHOLE: Final = 1000
"""Thousandths in one device."""

_SHARES: Final = ".shares"
_DEVICE: Final = ".device"
_PEOPLE_SAY: Final = {"cuda": "GPU", "rocm": "GPU", "tpu": "TPU"}


@dataclass(frozen=True, slots=True)
class Claim:
    """The devices one container asks for: `count` devices of a kind, `milli` thousandths of each.

    Less than a whole device only with a count of 1. `models` are sorted; none means any model.
    """

    kind: str
    count: int
    milli: int
    models: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the devices are held by nobody else."""
        return self.milli == WHOLE

    @property
    def total(self) -> int:
        """Thousandths of devices in all."""
        return self.count * self.milli

    def allows(self, model: str) -> bool:
        """Whether a device of this model will do; upper and lower case are the same."""
        return not self.models or model.casefold() in {one.casefold() for one in self.models}


@dataclass(frozen=True, slots=True)
class Share:
    """What a container holds of one device: its index on the node, and thousandths."""

    index: int
    milli: int


def is_device_slot(name: str) -> bool:
    """Whether a slot stands for devices (`cuda.shares`, `rocm.device`); every other slot is counted."""
    return name.endswith((_SHARES, _DEVICE))


def shares_slot(kind: str) -> str:
    """The slot in which thousandths of devices of a kind are counted."""
    return kind + _SHARES


def device_slot(kind: str) -> str:
    """The slot in which whole devices of a kind are counted."""
    return kind + _DEVICE


def device_word(kind: str) -> str:
    """What people call a device of a kind: `GPU`."""
    return _PEOPLE_SAY.get(kind, f"{kind} device")


def counted(slots: Mapping[str, int]) -> dict[str, int]:
    """The slots that are amounts of a node, without those that stand for devices and without zeros."""
    return {name: amount for name, amount in slots.items() if amount and not is_device_slot(name)}


def claim_of(slots: Mapping[str, int], models: Iterable[str] = ()) -> Claim | None:
    """The devices that the slots of one container stand for; None when there are none.

    `<kind>.shares` are thousandths: up to 1000 of one device, or a whole number of devices. Raises InvalidSlots for
    anything between, for both spellings at once, for two kinds of devices, and for models without a device.
    """
    wanted = tuple(sorted(set(models), key=lambda model: (model.casefold(), model)))
    asked = {name: amount for name, amount in slots.items() if amount and is_device_slot(name)}
    if not asked:
        if wanted:
            raise InvalidSlots(
                f"A model ({'|'.join(wanted)}) is named but no device; ask for one, e.g. cuda.device 1, or leave the "
                "model out."
            )
        return None
    kinds = sorted({name.rpartition(".")[0] for name in asked})
    if len(kinds) > 1:
        raise InvalidSlots(f"One container holds devices of one kind, not of {' and '.join(kinds)}; ask for one kind.")
    if len(asked) > 1:
        kind = kinds[0]
        raise InvalidSlots(
            f"Ask either for {kind}.device (whole devices) or for {kind}.shares (part of one), not both."
        )
    [(name, amount)] = asked.items()
    kind = kinds[0]
    if name.endswith(_DEVICE):
        return Claim(kind, amount, WHOLE, wanted)
    if amount < WHOLE:
        return Claim(kind, 1, amount, wanted)
    count, rest = divmod(amount, WHOLE)
    if rest:
        raise InvalidSlots(
            f"{name}: {amount / WHOLE:g} is more than one device but no whole number; "
            f"ask for {count} or {count + 1} whole, or for less than 1."
        )
    return Claim(kind, count, WHOLE, wanted)


def parse_models(written: str) -> tuple[str, ...]:
    """Read `A100|H100` as models, sorted, each once. Raises InvalidSlots when one of them is empty."""
    models = [part.strip() for part in written.split("|")]
    if not all(models):
        raise InvalidSlots(f"'{written[:60]}' names no model; write e.g. A100, or A100|H100 for either.")
    return tuple(sorted(set(models), key=lambda model: (model.casefold(), model)))
