"""What can be set of the service, in one frozen object that worker processes are given through the environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ecoscale.runtime import Precision

VARIABLE = "ECOSCALE_SERVE_SETTINGS"
"""The environment variable through which the command hands the settings to its worker processes."""

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Sizes are in bytes, times in seconds; limits on requests are those of one worker process.

    `bundles` are names or folders, the first the default (none: the shipped default). `threads` are the network's,
    `readers` the threads that read and prepare files meanwhile (None: as many as cores, shared by the workers).
    """

    bundles: tuple[str, ...] = ()
    precision: Precision | None = None
    threads: int | None = None
    readers: int | None = None
    workers: int = 1
    batch_size: int = 32
    max_upload: int = 64 * MIB
    max_long_upload: int = 1024 * MIB
    max_samples_json: int = 32 * MIB
    max_files: int = 256
    body_timeout: float = 60.0
    timeout: float = 120.0
    queue: int = 128
    longest: float = 3600.0
    api_key: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    drain: float = 1.0
    temporary: str | None = None
    log_format: Literal["json", "text"] = "json"

    def to_environment(self) -> None:
        """Leave the settings where `from_environment` finds them, in this process and those it starts."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> Settings:
        """The settings that the command left; the defaults where it left none."""
        stated = json.loads(os.environ.get(VARIABLE, "{}"))
        lists: dict[str, Any] = {name: tuple(value) for name, value in stated.items() if isinstance(value, list)}
        return cls(**(stated | lists))
