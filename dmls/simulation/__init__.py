"""The deterministic simulator: whole rooms of homeservers and agents, in one thread and virtual time, from a seed."""
