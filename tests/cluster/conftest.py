"""One Ray of two processors for all tests of the engine, an archive of small recordings, and the rows it must give."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from pyarrow import parquet

from cli.conftest import made_bundle
from ecoscale.cluster.folder import ResultsFolder
from ecoscale.cluster.part import PartClassifier, Reading
from ecoscale.cluster.run import ArchiveRun
from ecoscale.cluster.worker import SentBundle, WorkerOrders
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_collection
from ecoscale.inference import Classifier
from ecoscale.results import run_settings
from ecoscale.sources import find_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecoscale.cluster.run import Part

BATCH, PART = 4, 8


@pytest.fixture(scope="session")
def ray_of_two(object_storage) -> Iterator[None]:
    """A Ray of this machine whose workers find the tests' object storage; its dashboard is left out, for it is slow."""
    import ray

    before = dict(os.environ)
    os.environ.update(object_storage.environment)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """A folder of 60 recordings, one of which is no recording."""
    folder = tmp_path_factory.mktemp("archive")
    write_wfdb(folder, synthetic_collection(59, seed=5, rate=100))
    (folder / "broken.hea").write_text("junk\n")
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Classifier:
    """A classifier that knows nothing, and is quick."""
    return Classifier.load(made_bundle(tmp_path_factory.mktemp("bundles") / "cheap"), threads=1)


@dataclass(frozen=True)
class Begun:
    """A run, and how its parts are classified here and by workers."""

    run: ArchiveRun
    here: PartClassifier
    orders: WorkerOrders

    @property
    def todo(self) -> list[Part]:
        return self.run.todo()


@pytest.fixture(scope="session")
def begin(classifier):
    """A run over sources into a folder, begun or gone on with."""

    def begun(sources, folder, *, resume=False, part_size=PART):
        sources = [str(each) for each in sources]
        settings = run_settings(classifier, "parquet", sources=sources)
        records = find_records(sources, classifier.preparation, {})
        folder = ResultsFolder(str(folder))
        make = ArchiveRun.resume if resume else ArchiveRun.begin
        reading = Reading(batch_size=BATCH)
        return Begun(
            make(folder, settings, records, part_size),
            PartClassifier(folder, classifier, settings, reading),
            WorkerOrders(folder, settings, reading, SentBundle.of(classifier.bundle), 1, {}, {}, None, None),
        )

    return begun


@pytest.fixture(scope="session")
def undisturbed(begin, archive, tmp_path_factory) -> Path:
    """What this process makes of the archive."""
    folder = tmp_path_factory.mktemp("undisturbed")
    begun = begin([archive], folder)
    for part in begun.todo:
        begun.here.classify(part)
    return folder


def rows(folder: Path, table: str = "findings") -> list[dict]:
    """The rows of all parts, in their order."""
    paths = sorted((folder / table).rglob("*.parquet"))
    return [row for path in paths for row in parquet.read_table(path, partitioning=None).to_pylist()]
