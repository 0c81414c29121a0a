"""Tests in a browser: pages with their layout, scripts and keyboard use."""
