"""Madang: a shared courtyard of computers and GPUs for AI work."""

__version__ = "0.1.0"
