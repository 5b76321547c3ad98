"""`python -m tests.fault_matrix`: the page, written anew."""

from tests.fault_matrix import PAGE, as_markdown

PAGE.write_text(as_markdown())
