"""The pure text engine: alphabets, segments, headers, numbers, receipts' texts, keywords.

No I/O, no clock, no state that outlives a call but bounded caches.
"""
