"""The gRPC service that a homeserver calls."""
