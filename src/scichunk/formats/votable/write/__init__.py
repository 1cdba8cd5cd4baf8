"""Writing of VOTables."""
