"""Vector files of the user: regions, glacier outlines and inventories are all read here."""

from monitor.vectors.files import Columns, Layer
from monitor.vectors.polygons import Polygons, polygons_of, read_polygons

__all__ = ["Columns", "Layer", "Polygons", "polygons_of", "read_polygons"]
