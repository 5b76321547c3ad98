"""`python -m spoolsink` is the command `spoolsink`."""

from spoolsink.cli import main

main()
