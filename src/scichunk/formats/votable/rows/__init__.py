"""Rows of each serialisation: TABLEDATA, BINARY, BINARY2, and tables in FITS or Parquet."""
