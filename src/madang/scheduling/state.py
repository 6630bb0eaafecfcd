"""A resource group kept up to date bit by bit, so that a snapshot of it costs what changed."""

from __future__ import annotations

from madang.scheduling.snapshot import Node, Request, Running, Snapshot


class ClusterState:
    """Nodes, queue and running sessions of one resource group. Not for several threads at once."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._requests: dict[str, Request] = {}
        self._running: dict[str, Running] = {}

    def set_node(self, node: Node) -> None:
        """Add a node, or change one: what its running sessions hold stays theirs."""
        self._nodes[node.name] = node

    def drop_node(self, name: str) -> None:
        """Forget a node; sessions on it keep running as far as this state knows."""
        self._nodes.pop(name, None)

    def add(self, request: Request) -> None:
        """A session begins to wait, or waits for something else than before."""
        self._requests[request.id] = request

    def drop(self, request_id: str) -> None:
        """A session no longer waits."""
        self._requests.pop(request_id, None)

    def start(self, running: Running) -> None:
        """A session takes the room of its parts; one that is known already is replaced. It no longer waits."""
        self._requests.pop(running.id, None)
        self._running[running.id] = running

    def end(self, session_id: str) -> None:
        """A session gives its room back."""
        self._running.pop(session_id, None)

    def snapshot(self) -> Snapshot:
        """What a pass looks at; later changes of the state do not show in it."""
        return Snapshot.of(self._nodes.values(), self._requests.values(), self._running.values())
