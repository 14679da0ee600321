"""The draft of a survey: all its rows, before they are recorded."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import geopandas
import numpy as np
import pandas as pd
import shapely

from monitor.grid import WGS84
from monitor.review.triage import Flag
from storage.copying import multi

#: columns of `SurveyDraft.observations`; columns without values may be missing
OBSERVATION_COLUMNS = [
    "lake_id",
    "outcome",
    "reason",
    "geometry",
    "sigma_m2",
    "sigma_shore_m2",
    "sigma_model_m2",
    "perimeter_m",
    "seen_share",
    "first_day",
    "last_day",
    "probability",
    "elevation_m",
    "glacier_m",
    "task_key",
    "label",
    "attributes",
]
#: columns that earlier versions lacked: they count for a digest only where they have values, so that a survey
#: without them has the digest of before
LATER_COLUMNS = ["sensors"]


@dataclass(frozen=True)
class SurveyDraft:
    """The rows of a survey, as `storage.recording.record_survey` writes them."""

    observations: geopandas.GeoDataFrame
    lakes: pd.DataFrame
    lineage: pd.DataFrame
    flags: geopandas.GeoDataFrame
    #: why the losses of this season are doubted, None if they are not
    suspect: str | None = None

    def with_observations(self, observations: geopandas.GeoDataFrame) -> SurveyDraft:
        """The draft with other observations."""
        return replace(self, observations=observations)

    @cached_property
    def digest(self) -> str:
        """Digest of all rows: equal for equal rows in any order, new or read back from the database."""
        lines = [self.suspect or ""]
        later = [
            name
            for name in LATER_COLUMNS
            if name in self.observations and self.observations[name].notna().any()
        ]
        for frame, columns in (
            (self.observations, [*OBSERVATION_COLUMNS, *later]),
            (self.lineage, ["kind", "lake_id", "other_lake_id"]),
            (self.flags, ["kind", "explained", "score", "geometry", "tile", "lake_id", "detail"]),
        ):
            rows = zip(*(_canonical_column(frame, name) for name in columns), strict=True)
            lines += sorted("|".join(row) for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def flag_frame(flags: Sequence[Flag]) -> geopandas.GeoDataFrame:
    """Flags as rows of the lake history."""
    columns = ["kind", "explained", "score", "geometry", "tile", "lake_id", "detail"]
    rows = [(f.kind, f.explained, f.score, f.footprint, f.tile, f.lake, asdict(f)["detail"]) for f in flags]
    frame = pd.DataFrame(rows, columns=columns)
    return geopandas.GeoDataFrame(frame, geometry="geometry", crs=WGS84)


def _canonical_column(frame: pd.DataFrame, name: str) -> list[str]:
    """Values of a column in canonical form: equal values have the same text."""
    if name not in frame:
        return [""] * len(frame)
    values = frame[name]
    if values.isna().all() and name != "geometry":
        return [""] * len(frame)
    if name == "geometry":
        # outlines are stored as two-dimensional MultiPolygons
        shapes = shapely.to_wkb(multi(shapely.force_2d(np.asarray(values, object))))
        return [hashlib.blake2b(shape or b"", digest_size=16).hexdigest() for shape in shapes]
    if values.dtype.kind == "f":
        return ["" if math.isnan(number) else repr(number) for number in values.tolist()]
    return [_canonical(value) for value in values]


def _canonical(value: object) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | float | np.number):
        return repr(float(value))
    return str(value)
