"""Lakes from masks: outlines, area errors, identities and changes. Pure functions of arrays and frames."""
