"""A small simulated archive, written once a session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 x 5 km, three seasons, as the simulator's own command writes it."""
    folder = tmp_path_factory.mktemp("small") / "archive"
    command = [sys.executable, "-m", "simulator", str(folder), "--size", "512"]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    return folder
