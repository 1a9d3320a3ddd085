"""The ratchet tree (RFC 9420, Sections 4, 7 and Appendix C): an immutable value that shares structure between its versions."""
