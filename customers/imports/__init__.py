"""Importing CSV files: formats, reading, and the uploads of staff."""
