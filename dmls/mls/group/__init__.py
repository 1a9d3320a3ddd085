"""The group machine of RFC 9420: immutable states in, staged states out."""
