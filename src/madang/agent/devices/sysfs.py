"""Reading /sys: small files with a number or a word, PCI functions, and the paths by which sandboxes see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from madang.agent.devices.base import Attachment, Shown


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One function on the PCI bus, with its numbers as /sys says them: `0x10de`."""

    address: str  # "0000:65:00.0"
    vendor: str
    device: str
    group: str  # class: "0x030000" is a display controller


def read(path: Path) -> str:
    """The text of a small file without its line end; empty when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(text: str, default: int = 0) -> int:
    """A number as /sys writes it, decimal or 0x...; `default` for anything else."""
    try:
        return int(text, 0)
    except ValueError:
        return default


def pci_functions(root: Path, vendor: str) -> Iterator[PciFunction]:
    """The functions of one vendor, in order of their address."""
    for directory in sorted((root / "sys/bus/pci/devices").glob("*")):
        if read(directory / "vendor") == vendor:
            yield PciFunction(directory.name, vendor, read(directory / "device"), read(directory / "class"))


def numa_node(root: Path, address: str) -> int:
    """The NUMA node of a PCI function; -1 where unknown."""
    return number(read(root / "sys/bus/pci/devices" / address / "numa_node"), -1)


def show(root: Path, *paths: str) -> Attachment:
    """Show these paths read-only, as they are: what a symbolic link leads to, and the link itself.

    Paths that do not exist are left out. /sys is full of links: most tools look for a device by one of them and then
    walk on from where it leads.
    """
    read_only: list[Shown] = []
    links: list[Shown] = []
    top = root.resolve()
    for path in paths:
        host = root / path.lstrip("/")
        if not host.exists():
            continue
        real = host.resolve()
        inside = f"/{real.relative_to(top)}" if real.is_relative_to(top) else str(real)
        read_only.append(Shown(str(real), inside))
        if inside != path:
            links.append(Shown(inside, path))
    return Attachment(read_only=tuple(read_only), links=tuple(links))
