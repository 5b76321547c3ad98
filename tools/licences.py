"""What is installed with the program, under which licences, and whether they suit Apache-2.0.

What pyproject.toml asks for, and what that needs in turn, by the metadata of what is installed here
(`make install` has every extra).
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import TextIO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PLATFORM = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}
"""Of the image; the page must not depend on who writes it."""

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
HEAD = """\
# Licences

Made from the metadata of the installed packages by `make reference`; a test fails when it is stale,
and when a licence is not one of those that may be distributed beside an Apache-2.0 program.
spoolsink itself is Apache-2.0. `base` is what every installation has; the other words are extras.

| package | licence | comes with |
| --- | --- | --- |
"""

SUITABLE = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD", "CNRI-Python", "ISC", "MIT"),
    *("MIT-0", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib", "OLDAP-2.8", "BSL-1.0"),
    "MPL-2.0",  # by file: what is not changed asks for nothing
}
"""SPDX identifiers; BSD where the metadata does not say which."""

_SPELLINGS = (
    # Of the metadata's `License` and classifiers, where there is no SPDX expression.
    (r"apache( software)?( license)?(,? ?(version )?2(\.0)?)?", "Apache-2.0"),
    (r"mit( license)?", "MIT"),
    (r"bsd[- ]3[- ]clause( license)?|3-clause bsd license|new bsd( license)?", "BSD-3-Clause"),
    (r"bsd[- ]2[- ]clause( license)?", "BSD-2-Clause"),
    (r"bsd( license)?", "BSD"),
    (r"isc( license.*)?", "ISC"),
    (r"mozilla public license 2\.0.*|mpl[- ]?2\.0", "MPL-2.0"),
    (r"python software foundation license|psf(-2\.0)?( license)?", "PSF-2.0"),
    (r"openldap public license.*|openldap.*", "OLDAP-2.8"),
    (r"the unlicense.*", "Unlicense"),
)


@dataclass(frozen=True)
class Installed:
    """One package, and which of our extras bring it."""

    name: str
    version: str
    licences: frozenset[str]
    comes_with: tuple[str, ...]

    @property
    def is_suitable(self) -> bool:
        """Known, and every one of them may be distributed with us."""
        return bool(self.licences) and self.licences <= SUITABLE


def as_markdown() -> str:
    """The whole page; without versions, which requirements.lock has."""
    rows = [
        f"| {found.name} | {', '.join(sorted(found.licences))} | {', '.join(found.comes_with)} |\n"
        for found in installed()
    ]
    return HEAD + "".join(rows)


def report(out: TextIO) -> int:
    """Every package on a line; 1 where a licence is unknown or does not suit."""
    is_fine = True
    for found in installed():
        mark = "ok  " if found.is_suitable else "FAIL"
        licences = ", ".join(sorted(found.licences)) or "unknown"
        out.write(f"{mark} {found.name} {found.version}: {licences}\n")
        is_fine = is_fine and found.is_suitable
    return 0 if is_fine else 1


def installed() -> list[Installed]:
    """All that base and extras need on the image's platform, by name."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    asked = {"base": project["dependencies"], **project["optional-dependencies"]}
    comes_with: dict[str, list[str]] = {}
    for extra, texts in asked.items():
        for name in _closure(texts):
            comes_with.setdefault(name, []).append(extra)
    return [_describe(name, comes_with[name]) for name in sorted(comes_with)]


def _describe(name: str, extras: list[str]) -> Installed:
    found = distribution(name)
    # What the base brings comes with every extra too.
    words = ("base",) if "base" in extras else tuple(extras)
    return Installed(name, found.version, licences_of(found), words)


def _closure(texts: Iterable[str]) -> set[str]:
    """Names of all that these requirements bring, directly or not."""
    waiting = list(_needed(texts, set()))
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        need = waiting.pop()
        key = (canonicalize_name(need.name), frozenset(need.extras))
        if key not in done:
            done.add(key)
            waiting += _needed(distribution(need.name).requires or [], need.extras)
    return {name for name, _ in done}


def _needed(texts: Iterable[str], extras: set[str]) -> Iterator[Requirement]:
    """Those whose markers hold with these extras."""
    for need in map(Requirement, texts):
        marker = need.marker
        if marker is None or any(marker.evaluate({**PLATFORM, "extra": e}) for e in {*extras, ""}):
            yield need


def licences_of(package: Distribution) -> frozenset[str]:
    """SPDX identifiers of its metadata: the expression, else the classifiers, else the text."""
    metadata = package.metadata
    expression = " ".join(metadata.get_all("License-Expression") or [])
    if expression:
        # `A OR B` is counted as both: stricter than need be, and simple.
        return frozenset(re.split(r" (?:AND|OR|WITH) ", re.sub(r"[()]", "", expression)))
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    texts = [c.rpartition(" :: ")[2] for c in classifiers] or metadata.get_all("License") or []
    return frozenset(known for text in texts if (known := _spdx(text)))


def _spdx(text: str) -> str | None:
    """None for what is not understood, which then does not suit."""
    words = text.strip().partition("\n")[0].lower()
    for pattern, identifier in _SPELLINGS:
        if re.fullmatch(pattern, words):
            return identifier
    return next((known for known in SUITABLE if known.lower() == words), words or None)
