"""Known weaknesses of what requirements.lock pins, by pip-audit where its advisories are to be had.

Where they are not, that is said, and versions and licences are listed: no clean bill is given for
what nobody looked at.
"""

import json
import subprocess
from pathlib import Path
from typing import TextIO

from tools import licences

LOCK = Path(__file__).parents[1] / "requirements.lock"


def report(pip_audit: Path, out: TextIO) -> int:
    """1 when something is known; 0 when nothing is, or nobody could be asked."""
    command = [str(pip_audit), "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    done = subprocess.run(  # noqa: S603 (the arguments are ours)
        [*command, "--format", "json", "--progress-spinner", "off"],
        capture_output=True,
        text=True,
        check=False,
    )
    return judge(done.stdout, out)


def judge(answer: str, out: TextIO) -> int:
    """Of pip-audit's JSON; empty where it ended without one."""
    packages = json.loads(answer)["dependencies"] if answer.strip() else []
    asked = [package for package in packages if "skip_reason" not in package]
    for package in asked:
        for weakness in package["vulns"]:
            fixed = ", ".join(weakness["fix_versions"]) or "no version"
            name = f"{package['name']} {package['version']}"
            out.write(f"FAIL {name}: {weakness['id']}, mended in {fixed}\n")
    if asked:
        out.write(f"asked about {len(asked)} of {len(packages)} packages\n")
        return 1 if any(package["vulns"] for package in asked) else 0
    out.write("no advisory service answered: nothing is known; versions and licences only\n")
    return licences.report(out)
