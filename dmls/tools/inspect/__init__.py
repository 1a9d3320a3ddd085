"""MLS objects made readable: found out what they are, taken apart, and written as a tree of text or as JSON.

`source` reads the bytes, `kinds` says what they are, `description` and `trees` what is in them, `rendering` writes that down.
Nothing is verified but what is said to be.
"""
