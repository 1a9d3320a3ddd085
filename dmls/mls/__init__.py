"""RFC 9420, Messaging Layer Security, and nothing else."""
