"""VOTable: all serializations (VOTable 1.0 to 1.5)."""
