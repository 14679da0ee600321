"""Paths of the checkout, of the sample data beside it, and of the delivered model."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "samples"
MODEL = ROOT / "models" / "terramind-tiny"
