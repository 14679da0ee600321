"""From masks to lakes: outlines, area errors, identity and change. Pure functions over arrays and frames."""
