"""Reconcilers: small loops that move what is towards what was asked for."""
