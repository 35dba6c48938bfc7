"""What carriers bring: receipts and the handsets' texts, each committed before it is acknowledged."""
