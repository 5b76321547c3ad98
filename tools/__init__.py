"""What makes the pages of docs/ that follow from the code, and the papers of a release.

Not part of the installed program. `python -m tools` prints what there is.
"""
