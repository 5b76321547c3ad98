"""`python -m spoolsink` is the command `spoolsink`."""

from spoolsink.entry import main

main()
