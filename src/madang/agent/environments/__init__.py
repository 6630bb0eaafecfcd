"""Environments: what containers run in, described by manifests and built once into a shared store."""

from madang.agent.environments.manifest import Manifest, builtin_manifests
from madang.agent.environments.store import Environment, EnvironmentStore

__all__ = ["Environment", "EnvironmentStore", "Manifest", "builtin_manifests"]
