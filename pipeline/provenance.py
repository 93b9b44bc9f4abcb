"""Where a result came from: the commit of the code and the versions of what ran it."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def git_commit(folder: Path | None = None) -> str:
    """Return the commit checked out in ``folder`` (this package's by default), ``+changes`` added where tracked files
    differ from it; empty outside a repository.
    """
    folder = folder or Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    changed = bool(commit) and bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return f"{commit}+changes" if changed else commit


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, leaving out those that are not there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git here, or no repository
        return ""
    return done.stdout.strip()
