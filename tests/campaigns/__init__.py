"""Tests of campaigns, their messages and their results."""
