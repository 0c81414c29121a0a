"""Refreshes: they bring the members of segments in line with the rules at one instant.

The steps are ``plan``, ``candidates``, ``differences`` and ``write``; ``engine`` takes them in this order.
``docs/refresh.md`` describes them.
"""
