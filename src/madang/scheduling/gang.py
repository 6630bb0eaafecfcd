"""All containers of a session, placed together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from madang.domain.devices import Share
from madang.domain.session import Layout
from madang.scheduling.placement.base import Chooser
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Form

Take = Callable[[int, int, tuple[Share, ...]], None]
"""Gives a container of a shape its room on a node."""

Spot = tuple[int, tuple[Share, ...]]
"""The node of one container, and its devices there."""


def enough(form: Form, counts: Amounts) -> bool:
    """Whether nodes that hold so many containers each, shape (N,), hold all of a session as it wants them."""
    match form.layout:
        case Layout.ONE_NODE:
            return bool((counts >= form.size).any())
        case Layout.SPREAD:
            return int((counts > 0).sum()) >= form.size
        case _:
            return int(np.minimum(counts, form.size).sum()) >= form.size


def place(form: Form, room: Room, chooser: Chooser, take: Take) -> list[Spot] | None:
    """Place the containers of a session, in order of rank; None, and nothing taken, when not all of them fit."""
    if form.size == 1:
        fits = room.fitting(form.shape)
        return [_one(form.shape, fits, chooser, take)] if len(fits) and fits[fits.argmax()] else None
    counts = room.counts(form.shape)
    if not enough(form, counts):
        return None
    if form.layout is Layout.SPREAD:
        return _spread(form, counts, chooser, take)
    return _together(form, counts, chooser, take)


def place_on(
    nodes: Sequence[tuple[int, int]], form: Form, room: Room, chooser: Chooser, take: Take
) -> list[Spot] | None:
    """Place the containers of a session on given nodes, so many on each; None when they no longer fit there."""
    counts = room.counts(form.shape)
    if not nodes or any(counts[node] < count for node, count in nodes):
        return None
    spots: list[Spot] = []
    for node, count in nodes:
        spots += _fill(form.shape, node, count, chooser, take)
    return spots


def _one(shape: int, fits: np.ndarray[tuple[int], np.dtype[np.bool_]], chooser: Chooser, take: Take) -> Spot:
    node = chooser.choose(shape, fits)
    shares = chooser.devices(shape, node)
    take(shape, node, shares)
    return node, shares


def _spread(form: Form, counts: Amounts, chooser: Chooser, take: Take) -> list[Spot]:
    fits = counts > 0
    spots = []
    for _ in range(form.size):
        spots.append(_one(form.shape, fits, chooser, take))
        fits = fits.copy()
        fits[spots[-1][0]] = False
    return spots


def _together(form: Form, counts: Amounts, chooser: Chooser, take: Take) -> list[Spot]:
    """On as few nodes as there can be: those that hold most are filled until one holds all that is left."""
    spots: list[Spot] = []
    left = form.size
    while left:
        most = min(int(counts.max()), left)
        node = chooser.choose(form.shape, counts >= most)
        spots += _fill(form.shape, node, most, chooser, take)
        counts[node] = 0
        left -= most
    return spots


def _fill(shape: int, node: int, count: int, chooser: Chooser, take: Take) -> Iterator[Spot]:
    for _ in range(count):
        shares = chooser.devices(shape, node)
        take(shape, node, shares)
        yield node, shares
