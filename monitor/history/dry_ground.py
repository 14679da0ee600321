"""Known lakes without an outline in a season, and outlines on ground that was dry before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.compute.season_layers import SeasonLayers
from monitor.lakes.absence import MIN_SEEN_SHARE, SIGHTS, Absence, explain_absence
from monitor.lakes.match import Matching
from monitor.lakes.sensors import mapped_without_optical, shares_of
from monitor.lakes.sights import count_sights, optical_sights
from storage.codes import Outcome, Reason

#: the reason for a lake that was dry when optics saw it last, and has water to radar alone
BACK_TO_RADAR_ALONE = "water to radar alone; dry ground before"


def absence_rows(
    matching: Matching,
    reference: geopandas.GeoDataFrame,
    latest: NDArray[np.int64],
    doubted: Collection[UUID] = (),
) -> pd.DataFrame:
    """Observations of the known lakes without an outline: dry, or not observed with the reason.

    Args:
        latest: counts of sights (N, 9) within the lakes of `reference`.
        doubted: lakes whose outlines were left out, as from `against_optics`.
    """
    known = dict(zip(reference.index, latest, strict=True))
    confirmed = reference.confirmed.to_dict()
    rows = []
    for lake in matching.missing:
        counts = known[lake]
        if counts.sum() == 0 or counts.argmax() == Reason.OUTSIDE:
            continue  # a lake of a neighbouring region is not part of this survey
        absence = explain_absence(counts, confirmed=confirmed[lake])
        if lake in doubted:
            absence = Absence(Outcome.NOT_OBSERVED, BACK_TO_RADAR_ALONE, absence.seen_share)
        rows.append((lake, absence.outcome.value, absence.reason, None, absence.seen_share))
    absent = pd.DataFrame(rows, columns=["lake_id", "outcome", "reason", "geometry", "seen_share"])
    return absent.assign(first_day=None, last_day=None, sensors=None)


def dry_before(
    found: geopandas.GeoDataFrame, matching: Matching, previous: Sequence[SeasonLayers]
) -> list[UUID]:
    """First observed lakes whose place was dry ground in the last earlier season that saw it by optics."""
    lakes = [(at, lake) for at, lake in enumerate(matching.lake_ids) if lake in matching.first_observed]
    dry: set[UUID] = set()
    for layers in previous:
        if not lakes:
            break
        counts = np.zeros((len(lakes), SIGHTS), np.int64)
        outlines = found.geometry.to_numpy()[[at for at, _ in lakes]]
        for _, (near,), tally in layers.map(partial(count_sights, of=optical_sights), outlines):
            counts[near] += tally
        pixels = np.maximum(counts.sum(axis=1), 1)
        was_dry = counts[:, Reason.DRY] >= MIN_SEEN_SHARE * pixels
        was_seen = counts[:, [Reason.DRY, Reason.WATER]].sum(axis=1) >= MIN_SEEN_SHARE * pixels
        dry |= {lake for (_, lake), is_dry in zip(lakes, was_dry, strict=True) if is_dry}
        lakes = [lake for lake, seen in zip(lakes, was_seen, strict=True) if not seen]
    return [lake for lake in matching.lake_ids if lake in dry]


def against_optics(
    found: geopandas.GeoDataFrame,
    matching: Matching,
    reference: geopandas.GeoDataFrame,
    new: Sequence[UUID],
) -> NDArray[np.bool_]:
    """Outlines (N,) of water to radar alone on ground that optics saw dry when it was seen last.

    Radar takes some wet or smooth ground for water. Such an outline is no lake before optics has seen it.

    Args:
        new: lakes on such ground that were never seen, as from `dry_before`.
    """
    dried = set(reference.index[reference.last_outcome == Outcome.DRY])
    doubted = dried | set(new) - {event.lake for event in matching.lineage}
    wanted = np.array([lake in doubted for lake in matching.lake_ids], bool)
    return wanted & mapped_without_optical(shares_of(found.seen_by.to_list()))
