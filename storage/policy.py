"""Thresholds and orders that define the lake history, for Python and SQL alike.

`storage.views` substitutes them in the views when a migration creates these; queries take them as parameters.
"""

from __future__ import annotations

__all__ = ["DRAINAGE_LOSS", "FIRST_SEASON", "LAST_SEASON", "OPTICAL", "PREFERENCE", "SEEN_WHOLE", "Z95"]

FIRST_SEASON, LAST_SEASON = 1900, 2200
"""The years that a season can have."""

Z95 = 1.96
"""Two-sided 95 % of a normal distribution, in standard deviations."""

SEEN_WHOLE = 0.9
"""Least share of a lake's footprint that must be observed for its area to be compared."""

DRAINAGE_LOSS = 0.3
"""Share of its area that a lake must lose to be an outburst candidate."""

OPTICAL = "S2L2A"
"""Beginning of the name of every set of sensors with an optical one (`lake_observation.sensors`)."""

PREFERENCE = (
    "s.kind = 'index', o.outcome = 'not observed', s.kind = 'inventory', o.seen_share DESC NULLS LAST, s.id"
)
"""Order of preference of observations `o` of surveys `s` in one season, as an ORDER BY list: models and
inventories before an index, observed before not observed, a model before an inventory, a larger observed
share before a smaller one."""
