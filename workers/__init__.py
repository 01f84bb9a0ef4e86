"""The processes: one thin file each, and the `gantry` command."""
