"""Rooms that live in a store: the loop around the engine, for the service and for client devices alike (docs/adr/0002)."""
