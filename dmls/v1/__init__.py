"""The service's contract as Python code, generated from proto/dmls/v1. `make proto` makes it anew."""
