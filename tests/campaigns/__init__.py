"""Tests of campaigns, their messages, and what came of them."""
