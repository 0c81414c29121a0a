"""Facts: numbers and moments that sum a customer up, declared once and kept current."""
