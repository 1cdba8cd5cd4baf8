"""One folder for each format, all with the same five modules."""
