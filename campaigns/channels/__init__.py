"""How messages reach people: one small interface (``base``), a module for each channel."""
