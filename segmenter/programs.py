"""The programs of one model: one for each set of sensors, made when the first chips of the set come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Generic, TypeVar

import torch
from torch import Tensor

from segmenter.manifest import Manifest
from segmenter.program import Forward
from segmenter.sensors import SENSORS, code_of

P = TypeVar("P", bound=Forward)


class Programs(Generic[P]):
    """Takes a model's chips to the program of their set of sensors. Safe to share between threads.

    The program of all sensors of the model is made at once; a sensor that the model does not take is let
    fall.
    """

    def __init__(self, manifest: Manifest, make: Callable[[int], P]) -> None:
        """`make` makes the program of the set of sensors with a code."""
        self._sensors, self._make = manifest.sensors, make
        self._made: dict[int, P] = {}
        self.full = self.of(code_of(manifest.sensors))

    def __call__(self, optical: Tensor | None, radar: Tensor | None, dem: Tensor | None) -> Tensor:
        """(B, 1 + passes, H, W) logits of normalised chips (B, 12 | 2 | 1, H, W); None: absent."""
        chips = {
            name: part
            for name, part in zip(SENSORS, (optical, radar, dem), strict=True)
            if part is not None and name in self._sensors
        }
        forward = self.of(code_of(chips))
        with _GATE.passing():
            return forward(*chips.values())

    def of(self, code: int) -> P:
        """The program of the set of sensors with this code."""
        if code not in self._made:
            # the weights of a program are no tensors of the inference that first asks for it
            with _GATE.alone(), torch.inference_mode(False):
                if code not in self._made:
                    self._made[code] = self._make(code)
        return self._made[code]


class _Gate:
    """Lets forward passes run side by side, and the making of a program alone.

    While torch traces a network, it replaces methods of `nn.Module` for all threads of the process.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._passes = self._waiting = 0

    @contextmanager
    def passing(self) -> Iterator[None]:
        """For one forward pass."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._passes += 1
        try:
            yield
        finally:
            with self._changed:
                self._passes -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For the making of one program: begins when the passes that run have ended."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._passes)
                yield
            finally:
                self._waiting -= 1
                self._changed.notify_all()


_GATE = _Gate()
