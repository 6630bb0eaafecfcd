"""Placement policies: on which node."""
