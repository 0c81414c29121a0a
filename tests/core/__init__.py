"""The parts that all apps share."""
