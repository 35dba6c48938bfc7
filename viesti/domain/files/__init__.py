"""Shared files: stored once, read by whoever has the link, gone when the link has expired."""
