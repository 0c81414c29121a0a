"""A refresh brings the members of segments in line with their rules at one instant.

Its steps are the modules ``plan``, ``candidates``, ``differences`` and ``write``, which ``engine`` runs in this order.
See ``docs/refresh.md``.
"""
