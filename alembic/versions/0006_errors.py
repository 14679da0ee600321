"""What shoreline and model contribute to the error of a lake's area, and the 95 % interval that people see.

Revision 0006, after 0005.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PARTS = ("sigma_shore_m2", "sigma_model_m2")

INTERVAL = """CASE WHEN o.area_m2 < 1.96 * o.sigma_m2 THEN 0 ELSE o.area_m2 - 1.96 * o.sigma_m2 END
        AS area_low_m2,
    o.area_m2 + 1.96 * o.sigma_m2 AS area_high_m2, o.sigma_shore_m2, o.sigma_model_m2,"""

LAKE_CURRENT = """
CREATE VIEW lake_current AS
SELECT DISTINCT ON (o.lake_id, o.season) o.id AS observation_id, o.lake_id, l.code, o.survey_id, s.region,
    o.season, s.kind, s.source, o.outcome, o.reason, o.area_m2, o.sigma_m2, {interval} o.perimeter_m,
    o.seen_share, o.first_day, o.last_day, o.probability, o.elevation_m, o.geom
FROM lake_observation o
JOIN survey_shown s ON s.id = o.survey_id
JOIN lake l ON l.id = o.lake_id
ORDER BY o.lake_id, o.season, s.kind = 'index', o.outcome = 'not observed', s.kind = 'inventory',
    o.seen_share DESC NULLS LAST, s.id
"""
COMMENT = (
    "One row a lake and season: the current word, this system''s before an inventory''s, "
    "an observation before a not observed, an index''s after all others"
)
AREAS = "95 % interval of the area: area_m2 -/+ 1.96 sigma_m2, not below 0"


def upgrade() -> None:
    for part in PARTS:
        op.execute(
            f"ALTER TABLE lake_observation ADD COLUMN {part} float8, "
            f"ADD CONSTRAINT ck_lake_observation_{part} CHECK ({part} >= 0 AND {part} < 'infinity'::float8)"
        )
    _show(INTERVAL)
    for end in ("low", "high"):
        op.execute(f"COMMENT ON COLUMN lake_current.area_{end}_m2 IS '{AREAS}'")


def downgrade() -> None:
    _show("")
    for part in PARTS:
        op.execute(f"ALTER TABLE lake_observation DROP COLUMN {part}")


def _show(interval: str) -> None:
    op.execute("DROP VIEW lake_current")
    op.execute(LAKE_CURRENT.format(interval=interval))
    op.execute(f"COMMENT ON VIEW lake_current IS '{COMMENT}'")
