"""The addresses of campaigns below ``/api/v1/``."""
