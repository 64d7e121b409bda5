"""The environments of the peers: one a package, since their pins contradict each other and their sizes are measured.

Each lies in `environments/NAME`, and is what pip makes of `requirements/NAME.txt` in an empty environment; ours are
what it makes of this clone, with `constraints.txt`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
CLONE = FOLDER.parents[1]
OURS = {"ecoscale": ".", "ecoscale-train": ".[train]"}
THEIRS = tuple(sorted(path.stem for path in (FOLDER / "requirements").glob("*.txt")))

# What pip wrote, by distribution; torch's own are torch and what only torch needs: libraries for accelerators.
_SIZES = """
import json
from importlib.metadata import distributions
sizes = {}
for one in distributions():
    name = one.metadata["Name"].lower().replace("_", "-")
    if name not in ("pip", "setuptools"):
        sizes[name] = sum(file.locate().stat().st_size for file in one.files or () if file.locate().is_file())
print(json.dumps(sizes))
"""
_OF_TORCH = ("triton", "nvidia-", "cuda-")


@dataclass(frozen=True)
class InstalledSize:
    """What an environment holds beside Python, pip and setuptools, in MB; `torch_mb` is torch's part of it."""

    install_mb: float
    torch_mb: float
    distributions: int


def python_of(name: str) -> Path:
    """The environment's interpreter."""
    return FOLDER / "environments" / name / "bin" / "python"


def prepare_environment(name: str) -> None:
    """Make the environment if it is missing; ours is given this clone as it is now.

    Raises `CalledProcessError`, whose `stderr` says why pip refused.
    """
    python = python_of(name)
    made = python.with_name("complete")
    if not made.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])])
        if name in OURS:
            _pip(python, "--constraint", str(CLONE / "constraints.txt"), f"{CLONE}{OURS[name][1:]}")
        else:
            _pip(python, "--requirement", str(FOLDER / "requirements" / f"{name}.txt"))
        made.touch()
    elif name in OURS:
        _pip(python, "--no-deps", "--force-reinstall", str(CLONE))


def installed_size(name: str) -> InstalledSize:
    """Size of all that pip wrote into the environment."""
    done = subprocess.run([python_of(name), "-c", _SIZES], check=True, capture_output=True, text=True)
    sizes: dict[str, int] = json.loads(done.stdout)
    of_torch = sum(size for name, size in sizes.items() if name == "torch" or name.startswith(_OF_TORCH))
    return InstalledSize(sum(sizes.values()) / 1e6, of_torch / 1e6, len(sizes))


def _pip(python: Path, *arguments: str) -> None:
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
