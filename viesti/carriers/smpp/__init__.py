"""SMPP 3.4: numbers, codec, session without I/O, and the client that dispatch binds with."""
