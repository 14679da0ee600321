"""What people enter: YAML files, days, months and seasons."""
