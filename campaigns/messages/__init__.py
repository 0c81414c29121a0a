"""Messages: template language, variables and rendering."""
