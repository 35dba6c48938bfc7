"""The wire: how texts leave for a carrier and come back. No database in this room."""
