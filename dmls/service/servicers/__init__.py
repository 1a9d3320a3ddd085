"""The gRPC services: each RPC is handed to its handler, and nothing more."""
