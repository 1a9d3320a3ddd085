"""The wire structs of RFC 9420, one section a module. Parsed, not verified: see `dmls.mls.group` for what makes them valid."""
