"""Queue policies: who goes next."""
