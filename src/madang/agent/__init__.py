"""What runs on every node: runtimes, the keeper of containers, files, statistics."""
