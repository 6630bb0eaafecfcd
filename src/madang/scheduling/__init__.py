"""Who goes next, where, and why not yet: pure functions over a snapshot."""
