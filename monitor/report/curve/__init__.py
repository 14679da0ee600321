"""A lake's area over its seasons, as text and as a picture."""
