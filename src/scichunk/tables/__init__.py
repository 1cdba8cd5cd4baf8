"""Tables: rows and columns of any format as Arrow batches and NumPy columns."""
