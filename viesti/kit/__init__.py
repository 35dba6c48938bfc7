"""The lowest room: configuration, errors, ids, time, logs and the one safe HTTP client."""
