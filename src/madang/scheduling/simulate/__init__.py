"""What would have happened: nodes and jobs of a trace, replayed through the very same `plan`."""
