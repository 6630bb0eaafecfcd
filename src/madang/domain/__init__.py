"""Pure rules of Madang: slots, states, names and errors. Standard library only; no I/O and no async."""
