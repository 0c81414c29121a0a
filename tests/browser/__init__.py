"""What only a browser sees: the pages drawn, their scripts run, their keys pressed."""
