"""What the command line offers beside the service: conformance runs, inspection and the demonstration."""
