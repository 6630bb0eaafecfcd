"""The performance budgets beside what this machine does, measured through the public API: `make bench`."""
