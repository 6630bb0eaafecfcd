"""Devices of a node that sessions hold whole or in shares: one plug-in a kind."""
