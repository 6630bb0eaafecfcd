"""How a container is walled in and run: one module a runtime, all behind `base.Runtime`."""
