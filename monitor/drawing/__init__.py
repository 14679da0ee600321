"""Shared by all pictures and layer styles: the palette, and the elements of a map."""
