"""Which results come from simulated scenes.

The simulator writes the property `simulated` (true) into every STAC item, and the ledger keeps the items that
tasks froze. This is the only place that reads the property.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

__all__ = ["is_simulated", "lake_is_simulated"]

PROPERTY = "simulated"


def is_simulated(item: Mapping[str, Any]) -> bool:
    """Whether a STAC item is of a simulated scene."""
    return item.get("properties", {}).get(PROPERTY) is True


def lake_is_simulated(conn: Connection, lake_id: UUID) -> bool:
    """Whether a current survey of the lake was made from a simulated scene."""
    query = text(
        """
        SELECT EXISTS (
            SELECT FROM lake_observation o
            JOIN survey s ON s.id = o.survey_id
            JOIN task_scene ts ON ts.task_key = o.task_key
            JOIN scene c ON c.id = ts.scene_id
            WHERE o.lake_id = :lake AND s.superseded_by IS NULL
                AND c.item #> ARRAY['properties', CAST(:property AS text)] = 'true'::jsonb
        )
        """
    )
    return bool(conn.execute(query, {"lake": lake_id, "property": PROPERTY}).scalar_one())
