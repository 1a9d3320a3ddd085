"""Attackers of simulated rooms: what they know, what they can make of it, and how their homeservers lie for them."""
