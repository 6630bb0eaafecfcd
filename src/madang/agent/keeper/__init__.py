"""The keeper: one small process a node that is the parent of every container and outlives manager and agent.

It imports only the standard library and a few modules of this package, so that it stays small: its memory is shared by
all containers of the node.
"""
