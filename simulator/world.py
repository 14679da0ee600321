"""The simulated ground of an archive: relief with lakes, ground cover, and the pixels of the lakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from shapely.geometry import MultiPolygon, Polygon
from shapely.ops import unary_union

from simulator.coverage import Patch, cover
from simulator.lakes import Event, Lake
from simulator.noise import Field, smooth_noise, smoothstep
from simulator.plan import footprint, plan_lakes
from simulator.settings import PAD, Settings
from simulator.spectra import Palette, palette
from simulator.surfaces import Ground, build_ground
from simulator.terrain import Terrain, build_terrain
from simulator.valley import valley_water


@dataclass(frozen=True)
class Water:
    """Lakes of one season, as lists over the pixels that they touch."""

    pixels: NDArray[np.int64]
    """Flat index into the square."""
    share: Field
    """Covered share of the pixel, 0..1."""
    lake: NDArray[np.int32]
    """Index into `World.lakes`."""
    ice: Field
    """Share of the water that is under ice: 1 in a frozen lake, between 0 and 1 at the edge of ice."""
    depth: Field
    """0 at the shore to 1 in open water."""
    bed_pixels: NDArray[np.int64]
    """Flat index of ground that was water in an earlier season."""
    bed_share: Field
    """Share of such a pixel that is former lake bed."""


@dataclass(frozen=True)
class World:
    """Ground and lakes of an archive, common to all its scenes."""

    settings: Settings
    terrain: Terrain
    height: Field
    """Elevations with flat lakes on the padded grid, metres."""
    lakes: list[Lake]
    events: list[Event]
    ground: Ground
    colours: Palette
    water: dict[int, Water]
    """Pixels of the lakes in each season."""


def build_world(settings: Settings) -> World:
    """Generate relief, lakes, ground cover and coverage, as a pure function of the settings."""
    terrain = build_terrain(settings)
    lakes, events = plan_lakes(settings, terrain)
    lakes += valley_water(settings, terrain)
    height = set_lakes(settings, terrain.height, lakes)
    colours = palette(settings)
    ground = build_ground(settings, terrain, height, lakes, colours)
    water = {season: _water(settings, lakes, k) for k, season in enumerate(settings.seasons)}
    return World(settings, terrain, height, lakes, events, ground, colours, water)


def set_lakes(settings: Settings, height: Field, lakes: list[Lake]) -> Field:
    """Elevations with a level surface below the footprint of every lake, and banks that lead to it."""
    out = height.copy()
    flats = []
    reach = 22
    wide = Settings(settings.seed, settings.size + 2 * PAD, settings.seasons, settings.epsg,
                    (settings.origin[0] - PAD * 10, settings.origin[1] + PAD * 10))  # fmt: skip
    for lake in lakes:
        patch = cover(footprint(lake), wide, margin=reach)
        if patch is None:
            continue
        window = out[patch.rows, patch.cols]
        inside = patch.share > 0
        if lake.kind == "river":
            continue
        level = np.float32(np.quantile(window[inside], 0.3))
        far = distance_transform_edt(~inside).astype(np.float32)
        bank = smoothstep(far, -0.35 * reach, reach)
        gentle = level + (window - level) * bank
        window[:] = np.where(inside, level, gentle)
        flats.append((patch, inside, level))
    for patch, inside, level in flats:
        out[patch.rows, patch.cols][inside] = level
    return out


def _water(settings: Settings, lakes: list[Lake], season: int) -> Water:
    """Pixels of the lakes of one season."""
    n = settings.size
    pixels, shares, owners, ices, depths, bed_pixels, bed_shares = [], [], [], [], [], [], []
    for number, lake in enumerate(lakes):
        now = lake.outlines[season]
        patch = cover(now, settings) if now is not None else None
        if patch is not None:
            rows, cols = np.nonzero(patch.share > 0)
            inside = np.pad(patch.share, 1) > 0.5
            far = distance_transform_edt(inside).astype(np.float32)[1:-1, 1:-1]
            pixels.append((rows + patch.rows.start) * n + cols + patch.cols.start)
            shares.append(patch.share[rows, cols])
            owners.append(np.full(rows.size, number, np.int32))
            ices.append(_iced(lake, season, settings, patch)[rows, cols])
            depths.append(np.clip(far[rows, cols] / 4, 0, 1))
        left = _left_dry(lakes, lake, season)
        bed = cover(left, settings) if left is not None else None
        if bed is not None:
            rows, cols = np.nonzero(bed.share > 0)
            bed_pixels.append((rows + bed.rows.start) * n + cols + bed.cols.start)
            bed_shares.append(bed.share[rows, cols])
    none_i, none_f = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    return Water(
        np.concatenate(pixels or none_i), np.concatenate(shares or none_f),
        np.concatenate(owners or [np.empty(0, np.int32)]), np.concatenate(ices or none_f),
        np.concatenate(depths or none_f),
        np.concatenate(bed_pixels or none_i), np.concatenate(bed_shares or none_f),
    )  # fmt: skip


def _iced(lake: Lake, season: int, settings: Settings, patch: Patch) -> Field:
    """Share under ice of the water of every pixel of `patch`."""
    out = np.full(patch.share.shape, lake.states[season] == "frozen", np.float32)
    sheet = lake.ice[season] if lake.ice else None
    under = cover(sheet, settings) if sheet is not None else None
    if under is None:
        return out
    rows = slice(under.rows.start - patch.rows.start, under.rows.stop - patch.rows.start)
    cols = slice(under.cols.start - patch.cols.start, under.cols.stop - patch.cols.start)
    own = patch.share[rows, cols]
    out[rows, cols] = np.clip(under.share / np.maximum(own, 1e-6), 0, 1)
    return out


def icebergs(world: World, season: int, rng: np.random.Generator) -> Field | None:
    """Share of icebergs in every pixel of `Water`, at random places; None where no lake has any.

    2 to 12 % of the surface of such a lake, in pieces of 10 to 40 m.
    """
    least = np.full(len(world.lakes), np.inf, np.float32)
    for number, lake in enumerate(world.lakes):
        if "icebergs" in lake.cases:
            # quantiles of the normal distribution of the noise
            least[number] = world.settings.stream("icebergs", lake.name).uniform(1.2, 2.0)
    if not np.isfinite(least).any():
        return None
    water = world.water[season]
    above = smooth_noise(rng, world.settings.size, 2).ravel()[water.pixels] - least[water.lake]
    return smoothstep(np.maximum(above, -1), 0, 0.4)


def _left_dry(lakes: list[Lake], lake: Lake, season: int) -> Polygon | MultiPolygon | None:
    """Ground that this lake covered in an earlier season and no longer covers; None where there is none."""
    before = [outline for outline in lake.outlines[:season] if outline is not None]
    if not before or lake.kind == "river":
        return None
    family = [
        o.outlines[season] for o in lakes if o.name[:4] == lake.name[:4] and o.outlines[season] is not None
    ]
    left = unary_union(before)
    if family:
        left = left.difference(unary_union(family))
    return left if left.area > 50 else None


def smooth_surface(world: World) -> Field:
    """Elevations of a 30 m surface model, smoothed and with noise of half a metre (padded grid)."""
    rng = world.settings.stream("dem noise")
    seen = gaussian_filter(world.height, 1.3)
    return seen + 0.35 * gaussian_filter(rng.standard_normal(seen.shape, dtype=np.float32), 2) * 5
