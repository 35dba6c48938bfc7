"""Counts and times requests for Prometheus; by route, never by account."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

REQUESTS = Counter("viesti_api_requests_total", "Answers", ["method", "route", "status"])
SECONDS = Histogram(
    "viesti_api_request_seconds",
    "From the request's arrival to the answer's head",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0),
)
# Methods that nobody defined must not make a series each.
_KNOWN_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """``route`` is the matched template; empty where none was."""
    named = method if method in _KNOWN_METHODS else "other"
    REQUESTS.labels(named, route or "none", str(status)).inc()
    SECONDS.labels(named, route or "none").observe(seconds)
