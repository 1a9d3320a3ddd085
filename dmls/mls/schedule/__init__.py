"""What an epoch's keys are derived from: key schedule, transcript, pre-shared keys, secret tree (RFC 9420, Sections 8 and 9)."""
