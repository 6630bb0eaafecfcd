"""Pieces of statements: what sessions hold now, with the models of devices."""

from __future__ import annotations

from typing import Final

# The models are those that the nodes report at this moment.
_DEVICES: Final = """
    (
        SELECT coalesce(jsonb_agg(jsonb_build_array(kind, model, milli) ORDER BY kind, model), '[]') FROM (
            SELECT h ->> 0 AS kind, coalesce(d ->> 'model', '') AS model, sum((h ->> 2)::int) AS milli
            FROM jsonb_array_elements({held}) h LEFT JOIN nodes n ON n.name = h ->> 3
            LEFT JOIN LATERAL jsonb_array_elements(n.report -> 'devices') d
                ON d ->> 'kind' = h ->> 0 AND d ->> 'index' = h ->> 1
            GROUP BY 1, 2
        ) AS models
    )
"""


def devices_of(held: str) -> str:
    """Thousandths of devices by kind and model, from an array of [kind, index, thousandths, node]."""
    return _DEVICES.format(held=held)


# What sessions hold that are in `s`.
HELD_SLOTS: Final = """
    (
        SELECT jsonb_object_agg(key, amount) FROM (
            SELECT key, sum(value::bigint) AS amount
            FROM containers c, jsonb_each_text(c.slots) WHERE c.session_id = s.id GROUP BY key
        ) AS sums
    )
"""
HELD_DEVICES: Final = devices_of(
    """(
        SELECT coalesce(jsonb_agg(jsonb_build_array(g ->> 'kind', g ->> 'index', g ->> 'milli', c.node)), '[]')
        FROM containers c, jsonb_array_elements(c.devices) g WHERE c.session_id = s.id
    )"""
)
HOLDING: Final = "s.state IN ('scheduled', 'preparing', 'running', 'terminating')"
