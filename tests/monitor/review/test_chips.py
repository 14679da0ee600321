"""Pictures of the review queue: four maps of a chip with their elements, legend and colours."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from matplotlib.figure import Figure

from monitor.drawing.maps import SIMULATED
from monitor.drawing.palette import MASK, rgb
from monitor.grid import NORTHING_ORIGIN, PIXEL, WGS84, Tile
from monitor.review.export import PANELS, chip_figure
from storage.codes import NO_ANSWER

CHIP = Tile(32643, 256, 529_152, 66_304)
WEST, TOP = CHIP.col * PIXEL, NORTHING_ORIGIN - CHIP.row * PIXEL
#: one lake in the chip, one far away
LAKES = geopandas.GeoDataFrame(
    {"code": ["GL1", "GL2"]},
    geometry=[
        shapely.box(WEST + 1_000, TOP - 1_400, WEST + 1_500, TOP - 1_000),
        shapely.box(WEST + 90_000, TOP - 1_400, WEST + 90_500, TOP - 1_000),
    ],
    crs=CHIP.epsg,
).to_crs(WGS84)


def figure_of(
    *, imagery: bool = True, simulated: bool = False, lakes: geopandas.GeoDataFrame = LAKES
) -> Figure:
    mask = np.zeros((256, 256), np.uint8)
    mask[100:140, 100:150], mask[:8] = 1, NO_ANSWER
    layers = {"mask": mask, "probability": np.where(mask == 1, 0.9, 0.1).astype(np.float32)}
    images = np.full((256, 256, 3), 0.5, np.float32), np.zeros((256, 256), np.float32)
    shown = images if imagery else "S2A_1: asset B04 at /data/B04.tif cannot be read: no such file"
    return chip_figure("a title", CHIP, shown, layers, lakes, simulated=simulated)


def test_a_chip_has_its_elements() -> None:
    figure = figure_of()
    panels = figure.axes[:4]
    assert [axes.get_title() for axes in panels] == list(PANELS)
    assert {artist.get_gid() for artist in panels[0].artists} >= {"scale bar", "north arrow"}
    for axes in panels:
        assert any(label.get_text().endswith("° E") for label in axes.get_xticklabels())
        assert axes.get_xlim() == (WEST, WEST + 2_560) and axes.get_ylim() == (TOP - 2_560, TOP)
        outline = max(
            (item.get_datalim(axes.transData) for item in axes.collections), key=lambda box: box.width
        )
        assert outline.width == pytest.approx(500, abs=1)  # fmt: skip
    assert [text.get_text() for text in panels[0].texts] == ["GL1"], "only the lake in the chip has a label"
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [name for _, name in MASK.values()] + ["last outline of a known lake"]
    assert len(figure.axes) == 6, "MNDWI and probability have a colour bar"


def test_the_mask_has_the_colours_of_its_legend() -> None:
    (image,) = figure_of().axes[2].images
    shown = np.asarray(image.get_array())
    for row, col, code in ((120, 120, 1), (200, 10, 0), (3, 3, NO_ANSWER)):
        assert tuple(shown[row, col]) == rgb(MASK[code][0])


def test_imagery_that_cannot_be_read_is_reported_in_the_picture() -> None:
    figure = figure_of(imagery=False)
    assert not figure.axes[0].images and not figure.axes[1].images
    for axes in figure.axes[:2]:
        assert any("cannot be read" in text.get_text() for text in axes.texts)
    assert figure.axes[2].images


def test_a_chip_without_known_lakes() -> None:
    assert not figure_of(lakes=LAKES.iloc[1:]).axes[0].texts


@pytest.mark.parametrize("simulated", [True, False])
def test_only_pictures_of_simulated_scenes_say_so(simulated: bool) -> None:
    assert (SIMULATED in [text.get_text() for text in figure_of(simulated=simulated).texts]) == simulated
