"""Rules that decide what the history states, each in one place: Python reads them here, SQL by substitution.

`storage.views` puts them into the views when a migration creates those; queries take them as parameters.
"""

from __future__ import annotations

__all__ = ["DRAINAGE_LOSS", "PREFERENCE", "SEEN_WHOLE", "Z95"]

Z95 = 1.96
"""Two-sided 95 % of a normal distribution, in standard deviations."""

SEEN_WHOLE = 0.9
"""Share of a lake's place from which on the lake counts as seen whole: only then is its area compared."""

DRAINAGE_LOSS = 0.3
"""Share of the area whose loss makes a lake an outburst candidate."""

PREFERENCE = (
    "s.kind = 'index', o.outcome = 'not observed', s.kind = 'inventory', o.seen_share DESC NULLS LAST, s.id"
)
"""Order in which the observations `o` of surveys `s` of one season are preferred, the reference first: those
of a model or an inventory before an index, an answer before none, a model before an inventory, the better
view before the worse."""
