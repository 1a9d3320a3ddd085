"""Negative vectors: what breaks one rule and keeps all others, made by somebody who can sign anything.

One module an area makes the scenes of one file of `tests/vectors/negative`; `player` reads such a file and plays it. The format
is told in docs/negative-vectors.md.
"""
