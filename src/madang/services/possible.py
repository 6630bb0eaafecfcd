"""Whether the nodes of a resource group could ever hold a request, and what they come nearest to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from madang.db.rows import NodeRow
from madang.domain.devices import WHOLE, Claim, device_slot, device_word, shares_slot
from madang.domain.errors import ImpossibleRequest
from madang.domain.session import Layout
from madang.domain.slots import Slots, format_amount

_ENDLESS: Final = 1 << 30  # containers, of a request for nothing


@dataclass(frozen=True, slots=True)
class Wanted:
    """`size` containers, each with the same counted slots and devices."""

    slots: Mapping[str, int]  # counted ones only
    claim: Claim | None = None
    size: int = 1
    layout: Layout = Layout.ANY


def fits_on(node: NodeRow, wanted: Wanted) -> int:
    """How many of the containers the node would hold if nothing else were on it."""
    most = min((node.slots.get(name, 0) // amount for name, amount in wanted.slots.items() if amount), default=_ENDLESS)
    claim = wanted.claim
    if claim is None:
        return most
    have = _matching(node, claim)
    return min(most, have // claim.count if claim.whole else have * (WHOLE // claim.milli))


def is_possible(wanted: Wanted, nodes: Sequence[NodeRow]) -> bool:
    """Whether the nodes, were they empty, could hold all the containers as the layout wants them."""
    held = 0
    for node in nodes:  # seldom far: a cluster has many nodes, and nearly every request is possible
        fits = fits_on(node, wanted)
        match wanted.layout:
            case Layout.ONE_NODE:
                held = max(held, fits)
            case Layout.SPREAD:
                held += min(fits, 1)
            case _:
                held += fits
        if held >= wanted.size:
            return True
    return False


def require_possible(wanted: Wanted, nodes: Sequence[NodeRow], group: str) -> None:
    """Raises ImpossibleRequest saying what of the group comes nearest; `nodes` are those that suit otherwise."""
    if is_possible(wanted, nodes):
        return
    fits = {node.name: fits_on(node, wanted) for node in nodes}
    if not any(fits.values()):
        _require_kinds(wanted, nodes, group)
        if wanted.claim is not None:
            _require_devices(wanted.claim, nodes, group)
        raise ImpossibleRequest(_too_much(wanted, nodes, group))
    raise ImpossibleRequest(_too_many(wanted, fits, group))


def _matching(node: NodeRow, claim: Claim) -> int:
    """How many devices of the node the claim may take."""
    return sum(
        device.kind == claim.kind and claim.allows(device.model) and (claim.whole or device.divisible)
        for device in node.report.devices
    )


def _require_kinds(wanted: Wanted, nodes: Sequence[NodeRow], group: str) -> None:
    kinds = {name for node in nodes for name, amount in node.slots.items() if amount}
    missing = sorted(set(wanted.slots) - kinds)
    claim = wanted.claim
    if claim is not None and not any(device.kind == claim.kind for node in nodes for device in node.report.devices):
        missing.append(device_word(claim.kind))
    if missing:
        raise ImpossibleRequest(
            f"No node of group '{group}' has any {' or '.join(missing)}; "
            f"there is {', '.join(sorted(kinds)) or 'nothing'}."
        )


def _require_devices(claim: Claim, nodes: Sequence[NodeRow], group: str) -> None:
    """Raises ImpossibleRequest when no node has so many devices of these models."""
    have = {node.name: _matching(node, claim) for node in nodes}
    best = max(have.values())
    if best >= claim.count:
        return
    if not best and not claim.whole and any(_matching(node, replace(claim, milli=WHOLE)) for node in nodes):
        raise ImpossibleRequest(
            f"A {device_word(claim.kind)} serves one session at a time: ask for whole ones with "
            f"{device_slot(claim.kind)}."
        )
    if not best:
        models = sorted({d.model for node in nodes for d in node.report.devices if d.kind == claim.kind})
        raise ImpossibleRequest(
            f"No node of group '{group}' has any {device_word(claim.kind)} of model {' or '.join(claim.models)}; "
            f"there is {', '.join(models)}. Ask for one of these."
        )
    nearest = min(name for name, count in have.items() if count == best)
    # On several nodes: containers that are all the same, each as large as possible.
    each = max(part for part in range(1, best + 1) if claim.count % part == 0)
    parts = claim.count // each
    several = ""
    if sum(count // each for count in have.values()) >= parts:
        several = f", or for {claim.count} on several nodes: {each} in each of {parts} containers (--size {parts})"
    raise ImpossibleRequest(
        f"No node of group '{group}' can ever hold {claim_words(claim)}; the nearest, {nearest}, has {best}. "
        f"Ask for {best}{several}."
    )


def _too_much(wanted: Wanted, nodes: Sequence[NodeRow], group: str) -> str:
    """No node has enough of everything; the nearest is the one of which the request asks the smallest excess."""
    claim = wanted.claim
    having = [node for node in nodes if claim is None or _matching(node, claim) >= claim.count]

    def excess(node: NodeRow) -> float:
        return max(amount / max(node.slots.get(name, 0), 1) for name, amount in wanted.slots.items())

    nearest = min(having, key=lambda node: (excess(node), node.name))
    offered = Slots({name: nearest.slots.get(name, 0) for name in wanted.slots})
    asked = Slots(wanted.slots).human() + (f" and {claim_words(claim)}" if claim is not None else "")
    with_devices = f" with {claim_words(claim)}" if claim is not None else ""
    return (
        f"No node of group '{group}' can ever hold {asked}; the nearest{with_devices}, {nearest.name}, has "
        f"{offered.human()} in all. Ask for less."
    )


def _too_many(wanted: Wanted, fits: Mapping[str, int], group: str) -> str:
    """Single containers fit, but not so many of them."""
    total = sum(fits.values())
    most = max(fits.values())
    elsewhere = ", or leave --layout out" if total >= wanted.size and wanted.layout is not Layout.ANY else ""
    if wanted.layout is Layout.ONE_NODE:
        nearest = min(name for name, count in fits.items() if count == most)
        return (
            f"No node of group '{group}' can ever hold {wanted.size} such containers together; the nearest, {nearest}, "
            f"holds {most}. Ask for --size {most}{elsewhere}."
        )
    if wanted.layout is Layout.SPREAD:
        several = sum(1 for count in fits.values() if count)
        nodes = "1 node" if several == 1 else f"{several} nodes"
        return (
            f"{wanted.size} containers on as many nodes were asked for, and group '{group}' has {nodes} that could "
            f"hold one. Ask for --size {several}{elsewhere}."
        )
    return (
        f"All nodes of group '{group}' together can never hold {wanted.size} such containers, but {total}. "
        f"Ask for --size {total}."
    )


def claim_words(claim: Claim) -> str:
    """`4 GPUs of model A100 or H100`, `0.3 of a GPU`."""
    word = device_word(claim.kind)
    if claim.whole:
        what = f"a {word}" if claim.count == 1 else f"{claim.count} {word}s"
    else:
        what = f"{format_amount(shares_slot(claim.kind), claim.milli)} of a {word}"
    return f"{what} of model {' or '.join(claim.models)}" if claim.models else what
