"""The demonstration: a recorded room played through the services of both homeservers."""
