"""Rows of records as they arrive: their kinds and columns, and how texts become values."""
