"""What can be asked of a recording."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ecoscale.errors import EcoscaleError, MissingExtraError
from ecoscale.explaining import explain_by_insertion, explain_ecg
from ecoscale.measurements import measure_ecg, with_measurements
from ecoscale.reading import PreparedSignal, prepare_signal
from ecoscale.service import documents
from ecoscale.service.answers import JSON, RefusedError, encoded
from ecoscale.service.recordings import open_upload, read_all, read_samples, read_upload
from ecoscale.service.schemas import (
    BatchAnswer,
    ErrorAnswer,
    ExplanationAnswer,
    PredictionAnswer,
    Reading,
    SignalAnswer,
    TimelineAnswer,
)
from ecoscale.service.uploads import Upload, receive

if TYPE_CHECKING:
    from ecoscale.ecg import ECG
    from ecoscale.explaining import Explanation
    from ecoscale.inference import Prediction
    from ecoscale.measurements import Measurements
    from ecoscale.preparation import Preparation
    from ecoscale.service.batching import Batches
    from ecoscale.service.state import Service

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request is not as it should be."},
    401: {"model": ErrorAnswer, "description": "The service asks for a key."},
    404: {"model": ErrorAnswer, "description": "Such a bundle is not served."},
    408: {"model": ErrorAnswer, "description": "The body did not arrive in time."},
    413: {"model": ErrorAnswer, "description": "The body is larger than the service takes."},
    422: {"model": ErrorAnswer, "description": "The recording cannot be read, or a parameter is not as it should be."},
    429: {"model": ErrorAnswer, "description": "As many requests are under way as the service takes; see Retry-After."},
    501: {"model": ErrorAnswer, "description": "A part that this needs is not installed."},
    503: {"model": ErrorAnswer, "description": "The answer took too long."},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
        "required": ["file"],
    },
    # Each file with a name.
    "encoding": {"file": {"contentType": "application/octet-stream"}},
}
_STATED = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": schema.pop("description")}
        for name, schema in Reading.model_json_schema()["properties"].items()
    ]
}
FILES = _STATED | {
    "requestBody": {
        "required": True,
        "description": "A recording: a file of any format that is read, the files of one WFDB record, or its samples.",
        "content": {
            "multipart/form-data": _FORM,
            "application/octet-stream": _BINARY,
            "application/json": {"schema": {"$ref": "#/components/schemas/Samples"}},
            "application/fhir+json": {"schema": {"type": "object", "description": "A FHIR Observation."}},
        },
    }
}
SEVERAL_FILES = _STATED | {"requestBody": {"required": True, "content": {"multipart/form-data": _FORM}}}

router = APIRouter(prefix="/v1", responses=REFUSALS)


async def asked_of(request: Request) -> Reading:
    """What the query states. Not by FastAPI's model of parameters, which takes a tenth of the time of a prediction."""
    try:
        return Reading.model_validate(dict(request.query_params))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RefusedError(422, "invalid_parameter", f"{first['loc'][0]}: {first['msg']}") from None


Asked = Annotated[Reading, Depends(asked_of)]
Method = Literal["occlusion", "insertion"]


@router.post("/predict", response_model=PredictionAnswer, openapi_extra=FILES, summary="What an ECG shows")
async def predict(request: Request, asked: Asked, measure: bool = False) -> Response:
    """Findings with calibrated probabilities and decisions; with `measure`, intervals, rate and axis beside them."""
    service, batches = _served(request, asked)
    with service.accepted():
        upload = await _received(request, service)
        measured: list[Measurements] = []

        def read() -> ECG:
            ecg = _read(service, upload, asked, batches)
            if measure:
                measured.append(measure_ecg(ecg))
            return ecg

        def answer(ecg: ECG, prediction: Prediction) -> bytes:
            return encoded(
                documents.described(with_measurements(ecg, prediction, measured[0]) if measure else prediction)
            )

        return Response(await service.classify(batches, upload, read, answer), media_type=JSON)


@router.post(
    "/predict/batch", response_model=BatchAnswer, openapi_extra=SEVERAL_FILES, summary="What several ECGs show"
)
async def predict_batch(request: Request, asked: Asked) -> Response:
    """An entry for each recording among the files: its prediction, or why there is none."""
    service, batches = _served(request, asked)
    with service.accepted():
        upload = await _received(request, service)

        def job() -> list[PreparedSignal | dict[str, str]]:
            settings, preparation = service.settings, batches.classifier.preparation
            read = read_all(upload, asked, preparation, settings.longest, settings.max_files)
            return [each if isinstance(each, dict) else _prepared(each, preparation, upload) for each in read]

        entries = await service.work(upload, job)
        prepared = [entry for entry in entries if isinstance(entry, PreparedSignal)]
        found = iter(await service.classify_all(batches, prepared, lambda _, found: documents.described(found)))
        results = [next(found) if isinstance(entry, PreparedSignal) else entry for entry in entries]
        return Response(await asyncio.to_thread(encoded, {"results": results}), media_type=JSON)


@router.post("/ecg", response_model=SignalAnswer, openapi_extra=FILES, summary="The signal, to draw")
async def ecg(
    request: Request,
    asked: Asked,
    start: Annotated[float, Query(ge=0, le=1e9, description="Seconds from the beginning.")] = 0.0,
    seconds: Annotated[float, Query(gt=0, le=documents.LONGEST_EXCERPT)] = 10.0,
) -> Response:
    """A stretch of a recording of any length, in whole microvolts."""
    service, _ = _served(request, asked)
    with service.accepted():
        upload = await _received(request, service, long=True)

        def job() -> bytes:
            if upload.samples is None:
                return encoded(documents.excerpt(open_upload(upload, asked), start, seconds))
            return encoded(documents.excerpt(documents.in_memory(_read_samples(upload)), start, seconds))

        return Response(await service.work(upload, job), media_type=JSON)


@router.post(
    "/timeline", response_model=TimelineAnswer, openapi_extra=FILES, summary="What a long record shows, and when"
)
async def timeline(
    request: Request,
    asked: Asked,
    hop: Annotated[float | None, Query(gt=0, description="Seconds from window to window (half a window).")] = None,
) -> Response:
    """Share of time and episodes of each finding, and every window."""
    service, batches = _served(request, asked)
    with service.accepted():
        upload = await _received(request, service, long=True)

        def job() -> bytes:
            record = (
                open_upload(upload, asked) if upload.samples is None else documents.in_memory(_read_samples(upload))
            )
            return documents.timeline_of(batches.classifier, record, hop)

        return Response(await service.work(upload, job), media_type=JSON)


@router.post("/explain", response_model=ExplanationAnswer, openapi_extra=FILES, summary="What speaks for a finding")
async def explain(
    request: Request,
    asked: Asked,
    finding: Annotated[str, Query(description="A finding of the bundle.")],
    method: Method = "occlusion",
) -> Response:
    """Which leads and which seconds speak for a finding: parts are taken out in turn, or P waves put in."""
    service, batches = _served(request, asked)
    _require_finding(batches, finding)
    with service.accepted():
        upload = await _received(request, service)

        def job() -> bytes:
            ecg = _read(service, upload, asked, batches)
            return encoded(_explained(batches, ecg, finding, method).to_dict())

        return Response(await service.work(upload, job), media_type=JSON)


_TYPES = {"pdf": "application/pdf", "html": "text/html; charset=utf-8", "json": JSON}


@router.post(
    "/report",
    openapi_extra=FILES,
    summary="A report, to keep",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in _TYPES.values()}, "description": "The report, as a download."}},
)
async def report(
    request: Request,
    asked: Asked,
    format: Literal["pdf", "html", "json"] = "pdf",  # noqa: A002 - the parameter's name
    finding: Annotated[str | None, Query(description="Also explain this finding.")] = None,
    method: Method = "occlusion",
) -> Response:
    """The ECG beside its findings, as PDF, as one HTML page, or as JSON."""
    service, batches = _served(request, asked)
    if finding is not None:
        _require_finding(batches, finding)
    with service.accepted():
        upload = await _received(request, service)
        ecg, prediction = await service.classify(
            batches, upload, lambda: _read(service, upload, asked, batches), lambda ecg, found: (ecg, found)
        )

        def job() -> bytes:
            relevance = None if finding is None else _explained(batches, ecg, finding, method)
            found = _measured(ecg, prediction)
            # matplotlib's settings are one for all threads.
            with service.drawing, tempfile.TemporaryDirectory(dir=service.uploads.folder) as folder:
                return documents.report(format, ecg, found, Path(folder), batches.classifier, relevance)

        content = await service.work(None, job)
    headers = {"Content-Disposition": f'attachment; filename="ecg-report.{format}"'}
    return Response(content, headers=headers, media_type=_TYPES[format])


def _served(request: Request, asked: Reading) -> tuple[Service, Batches]:
    service: Service = request.app.state.service
    return service, service.bundle(asked.bundle)


async def _received(request: Request, service: Service, *, long: bool = False) -> Upload:
    """The request's body, within limits. Whoever takes it removes it."""
    settings = service.settings
    upload = service.uploads.new()
    try:
        await receive(request, upload, settings.max_long_upload if long else settings.max_upload, settings)
    except ClientDisconnect:
        upload.close()
        raise RefusedError(400, "disconnected", "the client went away") from None
    except BaseException:
        upload.close()
        raise
    return upload


def _read(service: Service, upload: Upload, asked: Reading, batches: Batches) -> ECG:
    return read_upload(upload, asked, batches.classifier.preparation, service.settings.longest)


def _prepared(ecg: ECG, preparation: Preparation, upload: Upload) -> PreparedSignal | dict[str, str]:
    try:
        return prepare_signal(ecg, preparation)
    except EcoscaleError as error:
        return {"source": ecg.source, "record": ecg.record, "error": upload.cleaned(str(error))}


def _read_samples(upload: Upload) -> ECG:
    assert upload.samples is not None
    return read_samples(upload.samples, fewer_leads=True)


def _require_finding(batches: Batches, finding: str) -> None:
    names = [label.name for label in batches.classifier.labels]
    if finding not in names:
        raise RefusedError(
            422,
            "unknown_finding",
            f"finding {finding[:80]!r} is none that {batches.classifier.title} knows: {', '.join(names)}",
        )


def _explained(batches: Batches, ecg: ECG, finding: str, method: Method) -> Explanation:
    explain = explain_by_insertion if method == "insertion" else explain_ecg
    return explain(batches.classifier, ecg, finding)


def _measured(ecg: ECG, prediction: Prediction) -> Prediction:
    """With measurements, for a report; without them where this installation cannot take them."""
    try:
        return with_measurements(ecg, prediction)
    except MissingExtraError:
        return prediction
