"""Files: their formats, and the imports that staff start."""
