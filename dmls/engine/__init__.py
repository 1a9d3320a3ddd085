"""One room as a pure state machine: inputs in, effects out (docs/protocol.md)."""
