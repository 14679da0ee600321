"""Reflectance and backscatter of surfaces after published spectra, and their variation between archives.

Reflectances are bottom-of-atmosphere values of the 12 Sentinel-2 L2A bands, backscatter is mean gamma0 in dB
of VV and VH. They are rounded typical values that agree with the publications below; none is a copy of one
measurement. Sources by surface:

- clear, flour-rich and silty glacial lakes: Giardino et al. 2010 and Matta et al. 2017 (Himalayan lakes),
  Wessels et al. 2002 (ASTER, supraglacial lakes), Dekker et al. 2002 (inland water);
- glacier ice clean and dirty, old snow: Hall et al. 1990; Naegeli et al. 2017 (Sentinel-2 and field spectra);
  fresh snow: Warren and Wiscombe 1980; lake ice: Leppaeranta et al. 2010, Bolsenga 1983;
- granite, dark schist, debris: ECOSTRESS library (Meerdink et al. 2019), Casey et al. 2012 (glacier debris);
  wet soil and silt: Lobell and Asner 2002 (moisture darkens the shortwave infrared most);
- alpine meadow green and dry, crops, spruce: ECOSTRESS library; Rautiainen et al. 2018 (conifers);
- asphalt, roofs: ECOSTRESS library; Kotthaus et al. 2014 (urban materials); burnt ground: Veraverbeke et al.
  2014;
- means of snow, ice and proglacial water were set to agree with hand-classified Sentinel-2 pixels of glaciers
  (see docs/simulator.md), those of green water with a eutrophic reservoir in Ohio;
- radar of land covers: Ulaby and Dobson 1989 (C band tables); bare and wet soil: Oh et al. 1992;
  calm and windy water: Bolanos et al. 2016, Hersbach et al. 2007 (CMOD5);
  glacier ice and wet snow: Nagler et al. 2016, Winsvold et al. 2018; lake ice: Duguay et al. 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.settings import Settings

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
RESOLUTION = dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | {"B01": 60, "B09": 60}
"""Native resolution of bands in metres; 20 for the others."""
WAVELENGTHS = np.array([0.443, 0.49, 0.56, 0.665, 0.705, 0.74, 0.783, 0.842, 0.865, 0.945, 1.61, 2.19])
"""Central wavelengths of `BANDS`, micrometres."""
WATER_KINDS = (
    "water_clear", "water_dark", "water_flour", "water_silt", "water_milk", "water_black", "water_green",
)  # fmt: skip
"""Surfaces of `REFLECTANCE` of which the colour of a lake is mixed."""

SKYLIGHT = np.array([0.22, 0.18, 0.13, 0.095, 0.08, 0.07, 0.06, 0.052, 0.05, 0.045, 0.014, 0.009], np.float32)
"""Diffuse share of the light on a clear day in mountains (after Bird and Riordan 1986)."""

REFLECTANCE: dict[str, tuple[float, ...]] = {
    "water_clear": (0.050, 0.064, 0.056, 0.014, 0.011, 0.007, 0.007, 0.006, 0.005, 0.006, 0.005, 0.004),
    "water_dark": (0.024, 0.022, 0.020, 0.012, 0.010, 0.008, 0.008, 0.007, 0.007, 0.006, 0.004, 0.003),
    "water_flour": (0.092, 0.116, 0.168, 0.116, 0.089, 0.043, 0.040, 0.032, 0.025, 0.024, 0.007, 0.006),
    "water_silt": (0.115, 0.150, 0.198, 0.212, 0.202, 0.160, 0.158, 0.142, 0.136, 0.095, 0.022, 0.015),
    "water_milk": (0.125, 0.165, 0.215, 0.165, 0.130, 0.066, 0.062, 0.050, 0.042, 0.036, 0.012, 0.009),
    "water_black": (0.011, 0.010, 0.010, 0.007, 0.006, 0.005, 0.005, 0.004, 0.004, 0.004, 0.003, 0.002),
    "water_green": (0.075, 0.070, 0.085, 0.052, 0.056, 0.032, 0.032, 0.026, 0.020, 0.018, 0.008, 0.006),
    "lake_ice": (0.44, 0.46, 0.46, 0.43, 0.40, 0.36, 0.34, 0.29, 0.27, 0.20, 0.05, 0.04),
    "lake_ice_dark": (0.15, 0.16, 0.165, 0.15, 0.14, 0.12, 0.11, 0.095, 0.09, 0.07, 0.02, 0.015),
    "snow_fresh": (0.95, 0.98, 0.98, 0.97, 0.98, 0.93, 0.90, 0.87, 0.85, 0.80, 0.110, 0.100),
    "snow_old": (0.82, 0.89, 0.90, 0.89, 0.91, 0.84, 0.77, 0.73, 0.70, 0.68, 0.013, 0.011),
    "snow_wet": (0.57, 0.65, 0.68, 0.68, 0.69, 0.63, 0.55, 0.51, 0.48, 0.46, 0.009, 0.007),
    "snow_dirty": (0.33, 0.37, 0.42, 0.45, 0.46, 0.44, 0.41, 0.39, 0.37, 0.34, 0.025, 0.021),
    "ice_clean": (0.43, 0.45, 0.455, 0.43, 0.435, 0.38, 0.33, 0.295, 0.275, 0.27, 0.010, 0.009),
    "ice_dirty": (0.185, 0.195, 0.205, 0.195, 0.20, 0.18, 0.16, 0.140, 0.133, 0.130, 0.012, 0.010),
    "rock_granite": (0.130, 0.153, 0.186, 0.220, 0.235, 0.243, 0.251, 0.260, 0.266, 0.271, 0.305, 0.277),
    "rock_schist": (0.066, 0.072, 0.084, 0.095, 0.101, 0.106, 0.112, 0.118, 0.122, 0.128, 0.158, 0.145),
    "rock_red": (0.065, 0.075, 0.100, 0.155, 0.178, 0.190, 0.200, 0.208, 0.214, 0.222, 0.275, 0.245),
    "moraine": (0.119, 0.138, 0.165, 0.192, 0.203, 0.211, 0.218, 0.226, 0.231, 0.237, 0.271, 0.246),
    "wet_debris": (0.070, 0.078, 0.092, 0.098, 0.099, 0.098, 0.096, 0.092, 0.090, 0.083, 0.062, 0.045),
    "silt_dry": (0.155, 0.185, 0.225, 0.260, 0.272, 0.280, 0.287, 0.296, 0.300, 0.304, 0.335, 0.300),
    "silt_wet": (0.110, 0.132, 0.160, 0.176, 0.180, 0.182, 0.180, 0.175, 0.170, 0.150, 0.110, 0.078),
    "grass": (0.028, 0.038, 0.074, 0.060, 0.110, 0.220, 0.262, 0.280, 0.295, 0.300, 0.205, 0.112),
    "grass_dry": (0.050, 0.065, 0.095, 0.120, 0.150, 0.190, 0.210, 0.230, 0.245, 0.262, 0.285, 0.195),
    "forest": (0.020, 0.022, 0.036, 0.026, 0.052, 0.130, 0.160, 0.175, 0.185, 0.190, 0.092, 0.045),
    "forest_dark": (0.011, 0.012, 0.019, 0.014, 0.026, 0.062, 0.076, 0.085, 0.090, 0.095, 0.042, 0.019),
    "crop": (0.020, 0.028, 0.064, 0.034, 0.100, 0.340, 0.420, 0.450, 0.470, 0.470, 0.200, 0.092),
    "stubble": (0.060, 0.080, 0.112, 0.150, 0.180, 0.208, 0.228, 0.250, 0.268, 0.285, 0.355, 0.270),
    "soil_dark": (0.032, 0.036, 0.045, 0.056, 0.064, 0.071, 0.077, 0.084, 0.090, 0.096, 0.135, 0.118),
    "soil_wet": (0.030, 0.034, 0.042, 0.050, 0.054, 0.058, 0.061, 0.064, 0.066, 0.066, 0.070, 0.050),
    "soil_bright": (0.100, 0.125, 0.165, 0.215, 0.238, 0.255, 0.270, 0.288, 0.300, 0.312, 0.380, 0.340),
    "burnt": (0.026, 0.029, 0.034, 0.041, 0.047, 0.054, 0.061, 0.069, 0.076, 0.083, 0.125, 0.130),
    "asphalt": (0.066, 0.072, 0.080, 0.086, 0.089, 0.092, 0.094, 0.097, 0.099, 0.102, 0.112, 0.102),
    "roof_dark": (0.048, 0.050, 0.053, 0.055, 0.056, 0.058, 0.060, 0.062, 0.063, 0.064, 0.070, 0.062),
    "roof_red": (0.072, 0.082, 0.108, 0.190, 0.220, 0.232, 0.242, 0.252, 0.260, 0.265, 0.300, 0.250),
    "roof_bright": (0.30, 0.33, 0.35, 0.37, 0.375, 0.38, 0.38, 0.385, 0.385, 0.38, 0.35, 0.31),
    "roof_blue": (0.17, 0.21, 0.20, 0.145, 0.135, 0.13, 0.13, 0.14, 0.145, 0.145, 0.16, 0.14),
}
"""Reflectance of each surface in the order of `BANDS`."""

BACKSCATTER: dict[str, tuple[float, float]] = {
    "water": (-19.5, -26.5),
    "water_rough": (-13.5, -24.0),
    "water_storm": (-7.5, -19.0),
    "iceberg": (-7.0, -14.0),
    "lake_ice": (-12.5, -20.5),
    "lake_ice_dark": (-15.0, -23.0),
    "snow_fresh": (-16.5, -22.5),
    "snow_old": (-16.0, -22.0),
    "snow_wet": (-17.0, -23.5),
    "snow_dirty": (-15.5, -21.5),
    "ice_clean": (-11.5, -18.5),
    "ice_dirty": (-10.0, -17.0),
    "rock_granite": (-8.2, -15.2),
    "rock_schist": (-9.0, -16.0),
    "rock_red": (-9.4, -16.8),
    "moraine": (-8.0, -15.0),
    "wet_debris": (-9.2, -16.8),
    "silt_dry": (-14.0, -21.5),
    "silt_wet": (-13.0, -21.5),
    "grass": (-11.0, -17.5),
    "grass_dry": (-11.8, -18.8),
    "forest": (-8.4, -13.6),
    "forest_dark": (-8.0, -13.4),
    "crop": (-10.5, -16.5),
    "stubble": (-11.5, -19.5),
    "soil_dark": (-11.0, -20.0),
    "soil_wet": (-9.5, -18.5),
    "soil_bright": (-13.0, -21.5),
    "burnt": (-11.5, -18.5),
    "asphalt": (-15.5, -22.5),
    "roof_dark": (-4.5, -11.5),
    "roof_red": (-4.0, -11.0),
    "roof_bright": (-3.0, -11.0),
    "roof_blue": (-3.0, -11.0),
}
"""Mean gamma0 of VV and VH of each surface, dB."""


@dataclass(frozen=True)
class Palette:
    """Surfaces of one archive: published means with random variations."""

    optical: dict[str, NDArray[np.float32]]
    """Reflectance (12,) of each surface."""
    radar: dict[str, NDArray[np.float32]]
    """Linear gamma0 (2,) of each surface."""


def palette(settings: Settings) -> Palette:
    """Random variant of the surfaces.

    Standard deviations: brightness 18 % (snow 4 %), spectral tilt 16 % (snow 3 %), 5 % per band; radar 1 dB,
    and 0.4 dB per polarisation.
    """
    rng = settings.stream("palette")
    lean = np.linspace(-1, 1, len(BANDS))
    optical = {}
    for name, values in REFLECTANCE.items():
        bright, tilt = (0.04, 0.03) if name.startswith("snow") else (0.18, 0.16)
        change = 1 + rng.normal(0, bright) + rng.normal(0, tilt) * lean + rng.normal(0, 0.05, len(BANDS))
        optical[name] = np.clip(np.array(values) * np.clip(change, 0.5, 1.6), 0.001, 1.05).astype(np.float32)
    radar = {
        name: (10 ** ((np.array(values) + rng.normal(0, 1.0) + rng.normal(0, 0.4, 2)) / 10)).astype(
            np.float32
        )
        for name, values in BACKSCATTER.items()
    }
    return Palette(optical, radar)
