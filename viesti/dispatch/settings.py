"""The dispatcher's figures: leases, buffers and batches, and why each is what it is."""

from __future__ import annotations

# Long enough for a slow database, short enough that a dead host's lanes are served again soon.
LEASE_S = 10.0
RENEW_S = 2.0
# A dispatcher stops writing this long before its leases may have ended.
LEASE_MARGIN_S = 2.0

# Texts read ahead: enough that a turn never waits for the read, little enough that memory and
# what a restart must read again stay small.
READ_AHEAD = 1_000
READ_AHEAD_ALL = 10_000
MIN_READ_AHEAD = 20
MAX_LANES = 500
# Segments that one turn starts at most: one commit, one write.
MAX_STARTS = 500

# A turn waits this long for more answers before it commits what it has.
GATHER_S = 0.004
POLL_S = 1.0
# Texts whose commit came later than that of their successors are found by a read from the
# start, this often.
REREAD_S = 2.0
DRAIN_S = 15.0

# Wake-ups of this role; the payload is a list of lane ids, or empty: look at all.
DISPATCH_CHANNEL = "viesti_dispatch"
