"""Checks of the tree that no other tool makes. Each module has `problems(root)`: one line a problem, none when all is well."""
