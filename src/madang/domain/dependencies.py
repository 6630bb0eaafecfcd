"""Sessions that wait for other sessions: finding those that would wait for each other for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def find_cycle(waits_for: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Some names of which each waits for the next, and the last for the first; empty when there is no such circle.

    `waits_for`: the names that a name waits for directly; those without an entry wait for nobody. The answer depends on
    nothing but the order of the mapping and its values. Linear in names and waits (depth-first search).
    """
    done: set[str] = set()
    for first in waits_for:
        path: dict[str, None] = {}  # the names from `first` down to where the search is, in order
        open_names = [(first, iter(waits_for[first]))] if first not in done else []
        path.update((name, None) for name, _ in open_names)
        while open_names:
            name, rest = open_names[-1]
            following = next((one for one in rest if one not in done), None)
            if following is None:
                open_names.pop()
                del path[name]
                done.add(name)
            elif following in path:
                names = list(path)
                return tuple(names[names.index(following) :])
            else:
                path[following] = None
                open_names.append((following, iter(waits_for.get(following, ()))))
    return ()
