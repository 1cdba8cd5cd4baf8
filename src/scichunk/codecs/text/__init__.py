"""Text to values, and back: numbers, base64, cells of tables, and a bounded reader of XML."""
