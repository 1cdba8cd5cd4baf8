"""The document of a VOTable: where its tables lie, and what it says of them."""
