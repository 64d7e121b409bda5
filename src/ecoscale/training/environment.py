"""What a run was made with, as far as it may change its result."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("ecoscale", "torch", "lightning", "numpy", "scipy", "wfdb")


def describe_environment() -> dict[str, Any]:
    """Versions, the revision of a clone, the command line, processor, accelerator and threads, as JSON values."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "revision": _revision(),
        "command": shlex.join((Path(sys.argv[0]).name, *sys.argv[1:])),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _revision() -> str | None:
    """The commit of the clone that ecoscale runs from, `-dirty` where files differ from it; None outside of one."""
    clone = Path(__file__).parents[3]
    if not (clone / ".git").exists():
        return None
    command = ["git", "-C", str(clone), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
