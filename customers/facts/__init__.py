"""Facts: declared once, and kept in line with the records."""
