"""The tests, which mirror the apps and go through the public door of each."""
