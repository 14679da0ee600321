"""Ways out: the lake history and the cube as files that other programs open, each with a STAC item."""
