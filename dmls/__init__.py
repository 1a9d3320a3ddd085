"""Decentralised MLS for Matrix rooms."""
