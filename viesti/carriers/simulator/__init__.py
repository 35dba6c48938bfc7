"""A phone network in a box: an SMSC on a real socket with handsets, a page and a log."""
