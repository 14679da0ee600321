"""The Zarr cube: what every pixel of every season was said to be, transactional and versioned by Icechunk.

One group per UTM zone ("32643") with arrays (season, y, x) over the whole zone on the global 10 m grid. Only written
chunks take room. One chunk is one tile in one season, written whole by one worker through a `CubeSlot`; the
coordinator commits. Until then nobody sees it: a crash leaves the last commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from storage.cube_layout import LAYERS, ZoneLayout, make_zone
from storage.cube_place import committing, open_repository
from storage.errors import StorageError, full_disk_is_clear

__all__ = ["LAYERS", "Cube", "CubeSlot"]

BRANCH = "main"
