"""Known-answer tests in the format of the MLS working group, against this implementation.

One module holds the checks of a few kinds of file; `runner` finds the files, runs their cases and reports.
"""
