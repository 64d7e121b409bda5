"""From what was uploaded to ECGs, with names as the client knows them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.leads import canonical_leads, twelve_lead_ecg
from ecoscale.formats.long_records import open_long_record
from ecoscale.formats.quantities import required_millivolts
from ecoscale.formats.wfdb_header import n_segments, read_text
from ecoscale.service.answers import RefusedError
from ecoscale.service.schemas import Samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecoscale.ecg import ECG
    from ecoscale.formats import Recording
    from ecoscale.formats.long_records import LongRecord
    from ecoscale.preparation import Preparation
    from ecoscale.service.schemas import Reading
    from ecoscale.service.uploads import Upload


def read_upload(upload: Upload, reading: Reading, preparation: Preparation, longest: float) -> ECG:
    """The one ECG of an upload. Raises `EcoscaleError`, and `RefusedError` where it holds several."""
    fewer_leads = preparation.fewer_leads
    if upload.samples is not None:
        return read_samples(upload.samples, fewer_leads=fewer_leads)
    path, options = _one_recording(upload, reading)
    return _renamed(read_ecg(path, **options, fewer_leads=fewer_leads, longest=longest), upload)


def open_upload(upload: Upload, reading: Reading) -> LongRecord:
    """The one recording of an upload, of any length. Raises as `read_upload`."""
    path, options = _one_recording(upload, reading)
    record = open_long_record(path, **options)
    return replace(
        record, source=upload.cleaned(record.source), notes=tuple(upload.cleaned(note) for note in record.notes)
    )


def read_all(
    upload: Upload, reading: Reading, preparation: Preparation, longest: float, most: int
) -> Iterator[ECG | dict[str, str]]:
    """Every recording of an upload, in the order of the files; or its source, record and error.

    Raises `RefusedError` for more than `most`.
    """
    own = {name: value for name, value in reading.options.items() if name != "record"}
    own |= {"fewer_leads": preparation.fewer_leads, "longest": longest}
    found: list[Recording] = []
    for recording in find_recordings(upload.paths(), tables=True):
        found.append(recording)
        if len(found) > most:
            raise RefusedError(413, "too_many_recordings", f"more than {most} recordings; send fewer at once")
    for recording in found:
        try:
            ecg = recording.read(**own)
        except EcoscaleError as error:
            source, record = upload.cleaned(str(recording.path)), recording.record or ""
            yield {"source": source, "record": record, "error": upload.cleaned(str(error))}
        else:
            yield _renamed(ecg, upload)


def read_samples(content: bytes, *, fewer_leads: bool) -> ECG:
    """An ECG as JSON (`Samples`). Raises `EcoscaleError`, and `RefusedError` for JSON of another form."""
    try:
        samples = Samples.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        raise RefusedError(422, "invalid_samples", f"{field}: {first['msg']}") from None
    lengths = {len(row) for row in samples.signal}
    if len(lengths) > 1:
        raise FormatError(f"signal: its rows have {min(lengths)} to {max(lengths)} samples; expected as many in each")
    if len(samples.signal) != len(samples.leads):
        raise FormatError(f"signal: {len(samples.signal)} rows for {len(samples.leads)} leads; expected one row a lead")
    factor = required_millivolts(samples.unit, "the samples", "unit")
    leads = canonical_leads(samples.leads, "the samples")
    rows = np.array(samples.signal, dtype=np.float64)
    return twelve_lead_ecg(rows * factor, leads, rate=samples.rate, source="samples", fewer_leads=fewer_leads)


def _one_recording(upload: Upload, reading: Reading) -> tuple[Path, dict]:
    """The path to read and the options to read it with."""
    paths, options = upload.paths(), reading.options
    if len(paths) == 1:
        return paths[0], options
    found = list(dict.fromkeys(recording.path for recording in find_recordings(paths, tables=True)))
    if len(found) > 1:
        named = [path for path in found if path.stem == reading.record]
        found = named or [path for path in found if path.suffix == ".hea" and _is_segmented(path)] or found
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:8])
        raise RefusedError(
            422,
            "several_recordings",
            f"the files are {len(found)} recordings ({names}); send those of one, name it by record=, or send them to "
            "/v1/predict/batch",
        )
    return found[0], options


def _is_segmented(path: Path) -> bool:
    try:
        return n_segments(read_text(path)) is not None
    except OSError:
        return False


def _renamed(ecg: ECG, upload: Upload) -> ECG:
    return replace(ecg, source=upload.cleaned(ecg.source), notes=tuple(upload.cleaned(note) for note in ecg.notes))
