"""A mutation run: marked checks are disabled one by one, and the tests of their rules must notice."""
