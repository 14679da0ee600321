"""Arrays in, arrays out: the TerraMind lake segmenter."""
