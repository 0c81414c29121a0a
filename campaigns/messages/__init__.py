"""Messages: their template language, variables, layout, links, and rendering."""
