"""The ledger of the rules of RFC 9420: for each rule the place in `dmls` that keeps it and the tests that try to break it."""
