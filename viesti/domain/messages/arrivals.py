"""MOVED: Arrival, Source and Taken are in viesti/carriers/arrivals.py.

domain and carriers are siblings and may not import each other; dispatch and inbound may import
both. Taken carries ``lanes: list[UUID]`` instead of wake hints. This file is to be deleted.
"""
