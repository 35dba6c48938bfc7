"""MT: leases binds and lanes, paces, submits, and commits what the carrier answered."""
