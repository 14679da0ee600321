"""Split of places into training and test: fixed by the names of the places alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping

from training.chip_files import Split


def split_places(grounds: Mapping[str, str]) -> dict[str, Split]:
    """Split of every place. Of each class of ground, the first third (rounded up) by SHA-1 is test.

    So at least a third of all places is test, and every class of ground has a test place; a class with one
    place is never trained on. A place changes its split only when its class gets other places.

    Args:
        grounds: class of ground of each place.
    """
    classes: dict[str, list[str]] = defaultdict(list)
    for place in sorted(grounds, key=lambda name: hashlib.sha1(name.encode()).hexdigest()):
        classes[grounds[place]].append(place)
    chosen = {name for places in classes.values() for name in places[: -(-len(places) // 3)]}
    return {place: "test" if place in chosen else "train" for place in grounds}
