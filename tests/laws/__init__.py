"""Laws: what must hold for every filter, channel and history, also for future ones."""
