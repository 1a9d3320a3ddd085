"""The client side of the service."""
