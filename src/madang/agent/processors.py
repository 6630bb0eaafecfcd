"""Which processors a container may run on: as many as its CPU limit rounded up, the least used first."""

from __future__ import annotations

from collections import Counter


class Processors:
    """Counts containers a processor."""

    def __init__(self, available: list[int]) -> None:
        self._available = available
        self._taken: dict[str, list[int]] = {}
        self._load: Counter[int] = Counter()

    def choose(self, container_id: str, cpu: int) -> list[int]:
        """Pick and take processors for `cpu` millicores; asked again, the answer is the same."""
        if container_id not in self._taken:
            count = min(max(1, -(-cpu // 1000)), len(self._available))
            chosen = sorted(self._available, key=lambda number: (self._load[number], number))[:count]
            self.take(container_id, sorted(chosen))
        return self._taken[container_id]

    def take(self, container_id: str, cpus: list[int]) -> None:
        """Note that a container, adopted perhaps, runs on these."""
        if container_id not in self._taken:
            self._taken[container_id] = cpus
            self._load.update(cpus)

    def give_back(self, container_id: str) -> None:
        """The container has ended."""
        self._load.subtract(self._taken.pop(container_id, []))
