"""How the manager reaches nodes."""
