"""Changes of a survey's lakes since they were last observed, and the flags for review that follow."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import geopandas
import pandas as pd

from monitor.lakes.change import compare, is_loss, last_observations
from monitor.lakes.match import Matching, lineage_frame
from monitor.review.triage import Flag, appearances, losses
from storage.codes import LineageKind, Outcome
from storage.policy import SEEN_WHOLE
from storage.prior import PriorSurveys


@dataclass(frozen=True)
class Comparison:
    """A survey's lakes compared with their observations in earlier seasons."""

    season: int
    prior: PriorSurveys
    #: observations of the survey, indexed by lake_id, with area_m2 (EPSG:4326)
    after: geopandas.GeoDataFrame
    #: the earlier observations (`change.last_observations`)
    before: pd.DataFrame
    #: lineage events up to this survey, with its splits and merges
    events: pd.DataFrame

    @classmethod
    def of(
        cls, prior: PriorSurveys, season: int, matching: Matching, after: geopandas.GeoDataFrame
    ) -> Comparison:
        """Compare the observations `after` of a survey of `season` with the surveys prior to it."""
        earlier = prior.observations.earlier.astype(bool)
        before = last_observations(prior.observations[earlier], prior.lineage[prior.lineage.season < season])
        own = lineage_frame(matching.lineage).assign(season=season)
        events = pd.concat([prior.lineage, own], ignore_index=True) if len(prior.lineage) else own
        return cls(season, prior, after, before, events)

    @property
    def changes(self) -> pd.DataFrame:
        """`change.compare` with the observations of earlier seasons."""
        return compare(self.before, self.after, self.events)

    def flags(self, lineage: pd.DataFrame, reference: geopandas.GeoDataFrame, *, suspect: bool) -> list[Flag]:
        """Flags of lakes that drained, lost water or appeared, each event once.

        An event that a prior survey of the same season has raised is not raised again. Where such a survey
        observed the lake on an earlier day, the lake is compared with that observation.

        Args:
            lineage: all lineage events of the survey.
            reference: as from `match.references`.
            suspect: the survey is suspect: one flag stands for all losses, and they have none of their own.
        """
        appeared = self._own(lineage, LineageKind.NEW, LineageKind.REAPPEARED)
        flags = appearances(appeared, self.before, self.after)
        if suspect:
            return flags
        same = self._same_season()
        between = self._on_an_earlier_day(same)
        before = pd.concat([self.before.drop(index=between.index, errors="ignore"), between])
        changes = compare(before, self.after, self.events)
        raised = self._raised(same) - set(between.index)
        drained = [lake for lake in self._own(lineage, LineageKind.DRAINED) if lake not in raised]
        lost = changes[is_loss(changes) & ~changes.index.isin(list(raised))]
        return [*losses(lost, drained, before, self.after, reference), *flags]

    def _same_season(self) -> pd.DataFrame:
        """Observations of prior surveys of the same season whose losses were raised."""
        rows = self.prior.observations
        same: pd.DataFrame = rows[
            rows.counts.astype(bool) & (rows.season == self.season) & ~rows.suspect.astype(bool)
        ]
        return same

    def _on_an_earlier_day(self, same: pd.DataFrame) -> pd.DataFrame:
        """The latest of these observations of each lake that ended before this survey's began."""
        begin = pd.to_datetime(self.after.first_day.reindex(same.lake_id)).to_numpy()
        end = pd.to_datetime(same.last_day)
        whole = (same.outcome == Outcome.DRY) | (same.seen_share.astype(float) >= SEEN_WHOLE)
        rows = same[(same.outcome != Outcome.NOT_OBSERVED) & whole & (end.to_numpy() < begin)]
        latest = rows.assign(last=end[rows.index], id=rows.survey_id.astype(str)).sort_values(["last", "id"])
        one: pd.DataFrame = latest.drop_duplicates("lake_id", keep="last").set_index("lake_id")
        # events of this season came after that observation
        return one[self.before.columns].assign(season=self.season - 0.5)

    def _raised(self, same: pd.DataFrame) -> set[UUID]:
        """Lakes whose loss a prior survey of the same season has raised."""
        surveys = same.groupby("survey_id", sort=False)
        changes = [compare(self.before, rows.set_index("lake_id"), self.prior.lineage) for _, rows in surveys]
        return {lake for change in changes for lake in change.index[is_loss(change)]}

    def _own(self, lineage: pd.DataFrame, *kinds: LineageKind) -> list[UUID]:
        """Lakes with an event of these kinds that no prior survey of the same season has."""
        known = self.prior.lineage[self.prior.lineage.season == self.season]
        before = set(known.lake_id[known.kind.isin(kinds)])
        return [lake for lake in lineage.lake_id[lineage.kind.isin(kinds)] if lake not in before]
