"""Counters for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from madang.domain.people import Caller


class Metrics:
    """One registry a process; what the database knows is read when somebody asks."""

    registry: CollectorRegistry

    async def render(self, caller: Caller) -> bytes:
        """The metrics in Prometheus' text format (content type `prometheus_client.CONTENT_TYPE_LATEST`)."""
        raise NotImplementedError
