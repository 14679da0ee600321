"""Smooth random fields for relief, texture and clouds: cubic B-splines with random knots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Field = NDArray[np.float32]
_SPREAD = 0.4794  # standard deviation of a 2-D cubic B-spline with unit-variance knots


def _weights(n: int, cell: float, shift: float, knots: int = 0) -> sparse.csr_matrix:
    """Matrix (n, knots or more) of cubic B-spline weights for n pixels and knots `cell` pixels apart."""
    position = (np.arange(n) + shift * cell) / cell
    base = np.floor(position).astype(int)
    t = position - base
    basis = (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    )
    columns = base[:, None] + np.arange(4)[None, :]
    rows = np.repeat(np.arange(n), 4)
    return sparse.csr_matrix(
        (basis.ravel().astype(np.float32), (rows, columns.ravel())),
        shape=(n, max(int(base.max()) + 4, knots)),
    )


def smooth_noise(rng: np.random.Generator, n: int, cell: float) -> Field:
    """Random field (n, n) of about unit variance, with features of about `cell` pixels."""
    if cell <= 1.5:
        return rng.standard_normal((n, n), dtype=np.float32)
    across, down = _weights(n, cell, rng.random()), _weights(n, cell, rng.random())
    knots = rng.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32)
    field = down @ np.ascontiguousarray((across @ knots.T).T)
    return np.asarray(field / _SPREAD, dtype=np.float32)


def fractal(rng: np.random.Generator, n: int, cell: float, octaves: int, gain: float = 0.5) -> Field:
    """Fractal noise of unit variance (Mandelbrot 1982): `gain` is the ratio of amplitudes of octaves."""
    total = np.zeros((n, n), np.float32)
    power = 0.0
    for octave in range(octaves):
        weight = gain**octave
        total += np.float32(weight) * smooth_noise(rng, n, cell / 2**octave)
        power += weight**2
    return np.asarray(total / np.float32(np.sqrt(power)), dtype=np.float32)


def enlarge(field: Field, factor: int) -> Field:
    """Enlarge a square field by an integer factor with cubic B-splines."""
    n = field.shape[0]
    padded = np.pad(field, 3, mode="edge")
    weights = _weights(n * factor, factor, 1.5 + 0.5 / factor, n + 6)
    out = weights @ np.ascontiguousarray((weights @ padded.T).T)
    return np.asarray(out, dtype=np.float32)


def shrink(field: NDArray[np.generic], factor: int) -> Field:
    """Mean of factor x factor pixels, (H, W) to (H / factor, W / factor)."""
    down = np.zeros((field.shape[0] // factor, field.shape[1]), np.float32)
    for k in range(factor):
        down += field[k::factor]
    out = down[:, ::factor].copy()
    for k in range(1, factor):
        out += down[:, k::factor]
    out *= np.float32(1 / factor**2)
    return out


def smoothstep(x: NDArray[np.floating], low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, and a smooth cubic between."""
    t = np.asarray(x, np.float32) - np.float32(low)
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    out = np.float32(3) - 2 * t
    out *= t
    out *= t
    return out
