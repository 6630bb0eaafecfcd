"""One router a noun; each route finds the caller, calls one use case, and writes its answer."""
