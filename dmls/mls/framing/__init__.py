"""Content made into messages and back: signing, public and private framing (RFC 9420, Section 6)."""
