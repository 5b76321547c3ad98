"""`python -m tools COMMAND`: exit status 0, 1 for a finding, 2 for bad arguments."""

import argparse
import sys
from pathlib import Path

from tools import advisories, licences, picture, reference

DOCS = Path(__file__).parents[1] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("reference", help="write the generated pages of docs/")
    commands.add_parser("licences", help="check the licences of what comes with the program")
    commands.add_parser("picture", help="draw the status page of docs/images")
    audit = commands.add_parser("advisories", help="known weaknesses of what is pinned")
    audit.add_argument("pip_audit", type=Path, metavar="PIP-AUDIT", help="the program")
    options = parser.parse_args()
    if options.command == "reference":
        reference.write(DOCS)
        return 0
    if options.command == "picture":
        picture.draw(DOCS / "images" / "status-page.png")
        return 0
    if options.command == "advisories":
        return advisories.report(options.pip_audit, sys.stdout)
    return licences.report(sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
