"""A run over an archive: what is to be classified, in which parts, and what of it is done.

    run.json                                    the manifest: by what results are made, and the listings
    listings/listing-0000.parquet               the records in their order, a row group for each part
    findings/listing=0000/part-00003.parquet    what one part's records show, written whole when all of it is done
    failed/listing=0000/part-00003.parquet      those of its records that could not be classified, and why
    attempts/listing=0000/part-00003            how often the part was begun, until it is done

A part with its file below `findings` is done. Records that came later, and failed ones that are tried again, are a
listing of their own.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ecoscale.cluster.listing import key, read_listing, write_listing
from ecoscale.errors import ResultsError
from ecoscale.results import differing_settings, open_alone
from ecoscale.sources import to_row
from ecoscale.storage import is_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ecoscale.cluster.folder import ResultsFolder
    from ecoscale.cluster.listing import Row
    from ecoscale.reading import Readable

MANIFEST, LOCK = "run.json", ".lock"
FINDINGS, FAILED, LISTINGS, ATTEMPTS = "findings", "failed", "listings", "attempts"


class Listing(BaseModel):
    """A list of records that was made at one time.

    `retries` are the files of failures whose records are in it, to be tried again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: int
    made: str
    retries: tuple[str, ...] = ()


class RunManifest(BaseModel):
    """What `run.json` says. `settings` are those of `ecoscale.results.run_settings`, with all that decides a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    settings: dict[str, Any]
    part_size: int
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True, order=True)
class Part:
    """Consecutive records of a listing: classified by one worker, to one file."""

    listing: int
    number: int
    records: int

    @property
    def name(self) -> str:
        """Where its files lie in their folders, without suffix."""
        return f"listing={self.listing:04}/part-{self.number:05}"

    @property
    def findings(self) -> str:
        """The file of its results, whose presence says that the part is done."""
        return f"{FINDINGS}/{self.name}.parquet"

    @property
    def failed(self) -> str:
        """The file of those that could not be classified, where there are any."""
        return f"{FAILED}/{self.name}.parquet"

    @property
    def attempts(self) -> str:
        """The file that says how often it was begun."""
        return f"{ATTEMPTS}/{self.name}"


class ArchiveRun:
    """A run in a folder: see `begin` and `resume`.

    `n_before` records had been tried when it was opened.
    """

    def __init__(self, folder: ResultsFolder, manifest: RunManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.n_before = 0

    @classmethod
    def begin(
        cls, folder: ResultsFolder, settings: dict[str, Any], records: Iterable[Readable], part_size: int
    ) -> Self:
        """A new run: the list of its records is written, and then the manifest.

        Raises `ResultsError` if the folder holds results already.
        """
        if folder.has(MANIFEST):
            raise ResultsError(
                f"{folder}: holds a run already; go on with --resume, or choose another folder for --out"
            )
        if folder.names(FINDINGS) or folder.names(FAILED):
            raise ResultsError(f"{folder}: holds results, but no {MANIFEST}; choose another folder for --out")
        run = cls(folder, RunManifest(settings=settings, part_size=part_size))
        run._list(map(to_row, records))
        return run

    @classmethod
    def resume(
        cls,
        folder: ResultsFolder,
        settings: dict[str, Any],
        records: Iterable[Readable],
        part_size: int,
        *,
        retry_failed: bool = False,
    ) -> Self:
        """The run that was begun in this folder, with the records that came since; a new one where there is none.

        With `retry_failed`, records of done parts that could not be classified are taken out of `failed`, and are a
        listing of their own. Raises `ResultsError` if the settings differ.
        """
        manifest = read_manifest(folder)
        if manifest is None:
            return cls.begin(folder, settings, records, part_size)
        differing = differing_settings(
            manifest.settings | {"part_size": manifest.part_size}, settings | {"part_size": part_size}
        )
        if differing:
            raise ResultsError(
                f"{folder}: its results were made otherwise ({'; '.join(differing)}); run it as before, or choose "
                "another folder for --out"
            )
        run = cls(folder, manifest)
        run._take_away_retried()
        for name in folder.names(ATTEMPTS):
            folder.write(name, b"1")  # with care, and as often as at first
        known = {key(row) for row in run._listed()}
        run._list(row for row in map(to_row, records) if key(row) not in known)
        if retry_failed:
            run._retry()
        run.n_before = run.n_records - sum(part.records for part in run.todo())
        return run

    @property
    def n_records(self) -> int:
        """Records of all listings, those that are tried again counted once."""
        return sum(listing.records for listing in self.manifest.listings if not listing.retries)

    def parts(self) -> list[Part]:
        """All parts, in order."""
        size = self.manifest.part_size
        return [
            Part(number, first // size, min(size, listing.records - first))
            for number, listing in enumerate(self.manifest.listings)
            for first in range(0, listing.records, size)
        ]

    def todo(self) -> list[Part]:
        """The parts that are not done, in order, by what lies in the folder now."""
        done = set(self.folder.names(FINDINGS))
        return [part for part in self.parts() if part.findings not in done]

    def count_failed(self) -> int:
        """How many records of done parts could not be classified."""
        return sum(1 for name in self.folder.names(FAILED) for _ in _failures(self.folder, name))

    def _list(self, rows: Iterable[Row], retries: tuple[str, ...] = ()) -> None:
        """Write a listing of these records, if there are any, and then the manifest that names it."""
        counted = write_listing(self.folder, _listing(len(self.manifest.listings)), rows, self.manifest.part_size)
        if counted:
            listing = Listing(records=counted, made=datetime.now(UTC).isoformat(timespec="seconds"), retries=retries)
            self.manifest = self.manifest.model_copy(update={"listings": (*self.manifest.listings, listing)})
            self.folder.write(MANIFEST, (self.manifest.model_dump_json(indent=1) + "\n").encode())

    def _retry(self) -> None:
        names = tuple(self.folder.names(FAILED))
        failed = {key(row) for name in names for row in _failures(self.folder, name)}
        self._list((row for row in self._listed() if key(row) in failed), names)
        self._take_away_retried()

    def _take_away_retried(self) -> None:
        """Take away the files of failures whose records a later listing tries again."""
        for listing in self.manifest.listings:
            for name in listing.retries:
                self.folder.remove(name)

    def _listed(self) -> Iterator[Row]:
        """The records of all listings; those of retries are among the others."""
        for number, listing in enumerate(self.manifest.listings):
            if not listing.retries:
                yield from read_listing(self.folder, _listing(number))


def rows_of(folder: ResultsFolder, part: Part) -> list[Row]:
    """The records of a part, as `ecoscale.sources.from_row` takes them."""
    return list(read_listing(folder, _listing(part.listing), part.number))


def read_manifest(folder: ResultsFolder) -> RunManifest | None:
    """What `run.json` in a folder says; None where there is none. Raises `ResultsError` if it is not that of a run."""
    content = folder.read(MANIFEST)
    if content is None:
        return None
    try:
        return RunManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ResultsError(
            f"{folder.at(MANIFEST)}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}; was it written "
            "by this version of ecoscale? Choose another folder for --out"
        ) from error


@contextmanager
def alone_in(folder: ResultsFolder) -> Iterator[None]:
    """Keep other runs out of a folder while the block lasts, where its file system has locks.

    Raises `ResultsError` where another run is writing. What runs that were killed left unfinished is taken away.
    Object storage has no locks: two runs there would do the same work twice and write the same files.
    """
    if is_url(folder.location):
        yield
        return
    Path(folder.location).mkdir(parents=True, exist_ok=True)
    with open_alone(Path(folder.at(LOCK))):
        folder.remove_unfinished()
        yield


def _failures(folder: ResultsFolder, name: str) -> list[Row]:
    import pyarrow.parquet

    with folder.opened(name) as stream:
        return pyarrow.parquet.read_table(stream, columns=["source", "record"]).to_pylist()


def _listing(number: int) -> str:
    return f"{LISTINGS}/listing-{number:04}.parquet"
