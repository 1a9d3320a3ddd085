"""`python -m dmls.cli`."""

from dmls.cli import main

main()
