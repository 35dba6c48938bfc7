"""Viesti: an open, self-hosted business text-messaging platform."""

__version__ = "0.1.0"
