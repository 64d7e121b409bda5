"""`read_ecg`: what a file holds, by its content, and the reader for it."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoscale.errors import FormatError
from ecoscale.formats import (
    archive,
    arrays,
    code_hdf5,
    dicom,
    documents,
    edf,
    fhir,
    hdf5,
    hl7_aecg,
    ishne,
    json_signal,
    matlab,
    muse_xml,
    parquet,
    philips_xml,
    scp,
    sph_hdf5,
    wfdb_header,
    wfdb_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from ecoscale.ecg import ECG
    from ecoscale.formats.archive import Unpacked
    from ecoscale.formats.dialect import Dialect

READABLE = (
    "Formats read: WFDB (.hea with .dat or .mat), DICOM ECG waveform, SCP-ECG, HL7 aECG, GE MUSE and Philips XML, FHIR "
    "Observation, EDF and BDF, ISHNE Holter, CODE and SPH HDF5, JSON with its rate, unit and leads, one of them in a "
    "zip, and with rate, unit and leads given (or in a dialect) .npy, .mat and tables (CSV, TSV)"
)
HEAD_BYTES = 4096
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OF_TEXT = b"\t\n\f\r" + bytes(range(32, 256))

# Named, so that the user learns what to do; the content decides here too.
_FOREIGN = {
    b"%PDF": "a PDF: a picture of an ECG, not its samples; export WFDB or DICOM from the cart",
}


class Content(Enum):
    """What the first bytes of a file say it is."""

    EMPTY = "empty"
    WFDB_HEADER = "WFDB header"
    DICOM = "DICOM"
    HDF5 = "HDF5"
    AECG = "HL7 aECG"
    MUSE = "GE MUSE XML"
    PHILIPS = "Philips XML"
    XML = "XML of another kind"
    FHIR = "FHIR resource"
    JSON = "JSON"
    NPY = ".npy"
    PARQUET = "Parquet"
    SCP = "SCP-ECG"
    EDF = "EDF"
    ISHNE = "ISHNE Holter"
    MATLAB = "MATLAB"
    ARCHIVE = "archive"
    TEXT = "text"
    BINARY = "binary"


_XML_ROOTS = {hl7_aecg.ROOT: Content.AECG, muse_xml.ROOT: Content.MUSE, philips_xml.ROOT: Content.PHILIPS}
# Those that say all in one document.
_DOCUMENTS = {
    Content.AECG: hl7_aecg,
    Content.MUSE: muse_xml,
    Content.PHILIPS: philips_xml,
    Content.FHIR: fhir,
    Content.JSON: json_signal,
}


def content_of(head: bytes) -> Content:
    """What a file holds, by its first `HEAD_BYTES` bytes."""
    if not head:
        return Content.EMPTY
    if dicom.is_dicom(head):
        return Content.DICOM
    if matlab.is_matlab(head):  # also one of version 7.3, which is an HDF5
        return Content.MATLAB
    if edf.is_edf(head):  # whose header is text
        return Content.EDF
    if ishne.is_ishne(head):
        return Content.ISHNE
    if scp.is_scp(head):
        return Content.SCP
    if archive.is_archive(head):
        return Content.ARCHIVE
    if hdf5.is_hdf5(head):
        return Content.HDF5
    if head.startswith(b"\x93NUMPY"):
        return Content.NPY
    if head.startswith(parquet.MAGIC):
        return Content.PARQUET
    if documents.looks_like_xml(head):
        return _XML_ROOTS.get(documents.root_name(head), Content.XML)
    if head.translate(None, _OF_TEXT):
        return Content.BINARY
    if documents.looks_like_json(head):
        return Content.FHIR if fhir.is_fhir(head) else Content.JSON
    return Content.WFDB_HEADER if wfdb_header.is_header(text_of(head)) else Content.TEXT


SAMPLED = {Content.SCP: scp.open_scp, Content.EDF: edf.open_edf, Content.ISHNE: ishne.open_ishne}
"""What opens files that say all, and are recordings by what they begin with."""

UNMARKED = (Content.BINARY, Content.TEXT, Content.MATLAB, Content.ARCHIVE)
"""What the samples of a WFDB record may look like: a header beside them says what they are."""


def may_be_archived(name: str, head: bytes, *, tables: bool) -> bool:
    """Whether a file in an archive is a recording, by its name and first bytes.

    `tables` takes those too that can be read only with a rate and a unit given.
    """
    content = content_of(head)
    return (
        content in SAMPLED
        or content in (Content.WFDB_HEADER, Content.HDF5, Content.AECG, Content.MUSE, Content.PHILIPS, Content.FHIR)
        or (content is Content.JSON and b'"signal"' in head)
        # A header that is not valid is one for its error's sake.
        or name.endswith(".hea")
        or (content is Content.DICOM and dicom.may_hold_waveform(head))
        or (tables and content in (Content.NPY, Content.MATLAB))
        or (tables and content is Content.TEXT and arrays.looks_like_table(text_of(head)))
    )


def text_of(data: bytes) -> str:
    """Text in UTF-8, or failing that in Latin-1, which takes every byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_ecg(
    path: str | Path,
    *,
    record: str | int | None = None,
    rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    fewer_leads: bool = False,
    longest: float | None = None,
    dialect: Dialect | None = None,
) -> ECG:
    """Read one recording: all twelve leads in canonical order, in mV.

    Parameters
    ----------
    path
        The file; for a WFDB record its header, one of its signal files, or its name without suffix.
    record
        Which recording, in a file that holds several: the exam id (or row number) in a CODE HDF5, the name of the file
        in a zip, the variable in a MATLAB file.
    rate, unit, leads
        Samples per second, unit (V, mV, uV, nV) and lead names in the file's order, for files that do not state them.
    fewer_leads
        Whether a recording may have fewer than the twelve leads and those that follow from them, such as a watch's one.
    longest
        Seconds beyond which a recording that can be read in pieces (WFDB, EDF, ISHNE, `.npy`), or is a DICOM, SCP-ECG
        or MATLAB file, is refused; default: of any length.
    dialect
        How a text table is to be read; default: as the description beside it says, if there is one.

    Raises
    ------
    FormatError
        If the file is missing, unknown, damaged, lacks what reading it needs, or contradicts what was given.
    LeadError
        If a lead is missing that cannot be derived, or named twice; the message names it.
    MissingExtraError
        If the format needs a package of the extra `formats` that is not installed.
    """
    options = {
        "source": str(path),
        "record": None if record is None else str(record),
        "rate": rate,
        "unit": unit,
        "leads": leads,
    }
    return read_file(Path(path), options, fewer_leads=fewer_leads, longest=longest, dialect=dialect)


def read_file(
    path: Path,
    options: dict[str, Any],
    *,
    fewer_leads: bool,
    longest: float | None = None,
    dialect: Dialect | None = None,
) -> ECG:
    """`read_ecg` of a file that `options["source"]` calls otherwise, such as one that was unpacked."""
    source = options["source"]
    path, head = located(path, source)
    if not head:
        return wfdb_record.read(path, **options, fewer_leads=fewer_leads, longest=longest)
    content = content_of(head)
    if content is Content.HDF5:  # of twelve leads, both
        reader = sph_hdf5 if sph_hdf5.is_recording(path) else code_hdf5
        return reader.read(path, **options)
    if content in SAMPLED:
        return SAMPLED[content](path, **options).ecg(fewer_leads=fewer_leads, longest=longest)
    reading: dict[str, Any] = options | {"fewer_leads": fewer_leads}
    if content is Content.DICOM:
        return dicom.read(path, **reading, longest=longest)
    if content is Content.PARQUET:
        return parquet.read(path, **reading)
    if reader := _DOCUMENTS.get(content):
        return reader.read(path, **reading)
    if content is Content.XML:
        found = documents.root_name(head)
        raise FormatError(
            f"{source}: XML whose root element is {f'<{found}>' if found else 'not at its beginning'}; expected "
            f"<{'>, <'.join(_XML_ROOTS)}>: export the ECG as one of these, as DICOM or as WFDB. {READABLE}"
        )
    if content is Content.NPY:
        return arrays.read_npy(path, **reading, longest=longest)
    # A header that is not valid is still called one by its suffix: the error then says what is wrong with it.
    if content is Content.WFDB_HEADER or (content is Content.TEXT and path.suffix == ".hea"):
        return wfdb_record.read(path, **reading, longest=longest)
    # Samples without any mark of their own are those of the record whose header names this file.
    if header := wfdb_header.header_beside(path):
        return wfdb_record.read(header, **reading, longest=longest)
    if content is Content.ARCHIVE:
        return _read_archived(path, options, fewer_leads, longest, dialect)
    if content is Content.MATLAB:
        return matlab.open_matlab(path, **options).ecg(fewer_leads=fewer_leads, longest=longest)
    described = dialect is not None or arrays.dialect_beside(path) is not None
    if content is Content.TEXT or (described and content is Content.BINARY and head.startswith(_UTF16)):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FormatError(f"{source}: the file cannot be read: {error}") from error
        if described:
            from ecoscale.formats.dialect import dialect_of, read_table

            if found := dialect or dialect_of(path):
                return read_table(data, found, **reading)
        text = text_of(data)
        if arrays.looks_like_table(text, named=options["leads"] is None):
            return arrays.read_table(text, **reading)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise FormatError(f"{source}: {what}. {READABLE}")
    found = f"text that begins {text_of(head)[:40]!r}" if content is Content.TEXT else f"bytes {head[:8].hex(' ')}"
    signals = f"; a WFDB signal file needs its header {path.stem}.hea beside it" if content is Content.BINARY else ""
    raise FormatError(f"{source}: not a format that is known ({found}){signals}. {READABLE}")


def located(path: Path, source: str, readable: str = READABLE) -> tuple[Path, bytes]:
    """The file that a path means, and its first bytes; of a WFDB record's name without suffix its header, and none.

    Raises `FormatError`, which says what is `readable`, for a path that is no file, and for an empty one.
    """
    try:
        is_file = path.is_file()
        is_folder = not is_file and path.is_dir()
    except OSError as error:
        raise FormatError(f"{source}: the path cannot be followed: {error.strerror}") from error
    if not is_file:
        if header := wfdb_header.header_beside(path):
            return header, b""
        if is_folder:
            raise FormatError(
                f"{source}: a folder, not a recording; find_recordings lists the recordings in a folder, and knows "
                f"them by their content. {readable}"
            )
        pattern = " matches this pattern" if any(sign in source for sign in "*?[") else ""
        header = "" if path.suffix == ".hea" else f", and no WFDB header {path.name}.hea"
        raise FormatError(f"{source}: no such file{pattern}{header}; check the path")
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (Path.open takes twice as long)
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise FormatError(f"{source}: the file cannot be read: {error}") from error
    if not head:
        raise FormatError(f"{source}: the file is empty; copy or download it again. {readable}")
    return path, head


def open_archived(path: Path, source: str, record: str | None, *, tables: bool) -> AbstractContextManager[Unpacked]:
    """One recording of an archive, unpacked as long as the context is (`archive.unpacked`)."""
    is_recording = partial(may_be_archived, tables=tables)
    return archive.unpacked(path, source=source, record=record, is_recording=is_recording)


def _read_archived(
    path: Path, options: dict[str, Any], fewer_leads: bool, longest: float | None, dialect: Dialect | None
) -> ECG:
    """The recording in an archive, whose source is the archive."""
    source = options["source"]
    tables = dialect is not None or (options["rate"] is not None and options["unit"] is not None)
    with open_archived(path, source, options["record"], tables=tables) as found:
        own = options | {"source": found.source, "record": found.record}
        ecg = read_file(found.path, own, fewer_leads=fewer_leads, longest=longest, dialect=dialect)
    return replace(ecg, source=source, record=found.member or ecg.record)
