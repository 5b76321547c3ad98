"""What an error of the system means for a spool that is opened."""

import errno
import os
from pathlib import Path

import pytest

from spoolsink.errors import SpoolFullError
from spoolsink.spool.files import start_error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing_is_waited_for(number: int) -> None:
    found = start_error(Path("/spool"), OSError(number, os.strerror(number)))
    assert isinstance(found, SpoolFullError)
    assert str(found) == f"/spool: {os.strerror(number)}"


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOTDIR, errno.ELOOP])
def test_a_wrong_path_is_not(number: int) -> None:
    found = start_error(Path("/spool"), OSError(number, os.strerror(number)))
    assert not isinstance(found, SpoolFullError)
