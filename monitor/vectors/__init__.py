"""Vector files of the user: regions, glacier outlines and inventories are all read here."""
