"""What a worker of a cluster is told, and what it makes of it: the bundle, sent whole, and how parts are classified."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoscale.bundle import MANIFEST, Bundle
from ecoscale.cluster.part import PartClassifier, Reading
from ecoscale.cluster.run import read_manifest
from ecoscale.errors import ResultsError
from ecoscale.inference import Classifier

if TYPE_CHECKING:
    from ecoscale.cluster.folder import ResultsFolder
    from ecoscale.runtime import Precision


@dataclass(frozen=True)
class SentBundle:
    """A bundle's files by name, so that a machine needs none of its own. `checksum` is that of its manifest."""

    checksum: str
    files: dict[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, bundle: Bundle) -> SentBundle:
        """The files of a bundle on this machine."""
        names = (MANIFEST, *bundle.manifest.files)
        return cls(bundle.manifest.checksum, {name: (bundle.path / name).read_bytes() for name in names})

    def unpacked(self) -> Bundle:
        """The bundle in a folder of this machine that its workers share. Raises `BundleError` if it is not whole."""
        user = os.getuid() if hasattr(os, "getuid") else os.getlogin()
        place = Path(tempfile.gettempdir(), f"ecoscale-{user}-bundle-{self.checksum[:16]}")
        if not place.is_dir():
            building = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
            for name, content in self.files.items():
                (building / name).write_bytes(content)
            try:
                building.rename(place)
            except OSError:  # another worker was there first
                place = place if place.is_dir() else building
        bundle = Bundle.load(place)
        if bundle.manifest.checksum != self.checksum:
            raise ResultsError(f"{place}: holds another bundle than was sent; delete it")
        return bundle


@dataclass(frozen=True)
class WorkerOrders:
    """All that a worker has to know beside which part is next; `directory` is where relative paths begin."""

    folder: ResultsFolder
    settings: dict[str, Any]
    reading: Reading
    bundle: SentBundle
    threads: int
    thresholds: dict[str, float]
    prevalence: dict[str, float]
    precision: Precision | None
    directory: str | None

    def begin(self) -> PartClassifier:
        """Load the bundle, and see that this machine is one that the work can be done on. Raises `EcoscaleError`."""
        from ecoscale import __version__

        if __version__ != self.settings["ecoscale"]:
            raise ResultsError(
                f"a worker has ecoscale {__version__}, the run was begun with {self.settings['ecoscale']}; install the "
                "same version on all machines"
            )
        if self.directory is not None:
            try:
                os.chdir(self.directory)
            except OSError as error:
                raise ResultsError(
                    f"{self.directory}: a worker cannot enter the folder that the paths are relative to "
                    f"({error.strerror}); give absolute paths that all machines see, or URLs"
                ) from error
        if read_manifest(self.folder) is None:
            raise ResultsError(
                f"{self.folder}: a worker does not see the run in it; give --out a folder that all machines see, or a "
                "URL such as s3://bucket/findings"
            )
        classifier = Classifier(self.bundle.unpacked(), self.threads, self.thresholds, self.prevalence, self.precision)
        return PartClassifier(self.folder, classifier, self.settings, self.reading)
