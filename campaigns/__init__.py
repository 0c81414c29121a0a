"""What is done for a segment. Campaigns come in a later release; this app is where they will live."""
