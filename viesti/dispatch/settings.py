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
# A lane holds at most this many times what it reads ahead, whatever its texts wait for.
MOST_KNOWN_TIMES = 2
# Texts to one number that a lane holds: they go one after the other, so more would only keep
# those to other numbers out.
MOST_TO_ONE_NUMBER = 50
# Lanes that one look at the leases takes at most: each needs a statement of its own then.
MAX_LANES = 500
# Segments that one turn starts at most: one commit, one write.
MAX_STARTS = 500

# A turn waits this long for more answers before it commits what it has.
GATHER_S = 0.004
POLL_S = 1.0
# Wake-ups for lanes of somebody else must not make the leases looked at all the time.
LOOK_GAP_S = 0.1
# Texts whose commit came later than that of their successors are found by a read from the
# start, this often.
REREAD_S = 2.0
# A dead dispatcher's last transaction may be committed by the server after its lanes were
# taken over: they are looked through again then.
RECHECK_S = 10.0
# For a connection of the pool: shorter than a lease, or a turn would sleep past it.
CONNECTION_S = 5.0

# A clean end: answers are awaited, then the last outcomes committed. Together with the unbind
# it stays below the 15 s after which the supervisor kills.
DRAIN_S = 9.0
LAST_COMMIT_S = 3.0
# After a failure what it waits for may never come.
FAILED_DRAIN_S = 2.0
# A bind whose lease was lost or given back has another's place: it waits less.
LEAVE_DRAIN_S = 5.0

COUNTS_S = 60.0
# Rates are shown to people; an older row is taken for that of a dead process.
TRAFFIC_S = 2.0

# Wake-ups of this role; the payload is a list of lane ids, or empty: look at all.
DISPATCH_CHANNEL = "viesti_dispatch"
