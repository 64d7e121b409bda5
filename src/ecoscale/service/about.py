"""What can be asked of the service itself: its bundles, examples, health and figures, and the page."""

from __future__ import annotations

import asyncio
import io
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from ecoscale.bundle import RELIABILITY
from ecoscale.findings import DISCLAIMER
from ecoscale.service.answers import JSON, RefusedError, encoded
from ecoscale.service.metrics import CONTENT_TYPE
from ecoscale.service.schemas import BundleAnswer, BundlesAnswer, ErrorAnswer, ExamplesAnswer
from ecoscale.wording import reliability

if TYPE_CHECKING:
    from ecoscale.inference import Classifier
    from ecoscale.service.state import Service

PAGE = Path(__file__).parent / "page"

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "There is none of that name."}}

router = APIRouter()


def _service(request: Request) -> Service:
    return request.app.state.service


@router.get("/v1/bundles", response_model=BundlesAnswer, summary="The bundles that are served")
async def bundles(request: Request) -> Response:
    """Names for the parameter `bundle`, the default first."""
    return _json({"bundles": list(_service(request).bundles)})


@router.get("/v1/bundle", response_model=BundleAnswer, responses=_MISSING, summary="What a bundle knows")
async def bundle(request: Request, bundle: str | None = None) -> Response:
    """Its findings, with codes, thresholds and how good it was found to be."""
    return _json(about_bundle(_service(request).bundle(bundle).classifier))


@router.get(
    "/v1/bundle/reliability.png",
    response_class=Response,
    responses=_MISSING | {200: {"content": {"image/png": {}}, "description": "The diagram."}},
    summary="Probabilities against what came true",
)
async def reliability_diagram(request: Request, bundle: str | None = None) -> Response:
    """The reliability diagram that the bundle carries."""
    path = _service(request).bundle(bundle).classifier.bundle.path / RELIABILITY
    if not path.is_file():
        raise RefusedError(404, "not_found", "this bundle carries no reliability diagram")
    return FileResponse(path, media_type="image/png")


@router.get("/v1/examples", response_model=ExamplesAnswer, summary="ECGs to try it with")
async def examples() -> Response:
    """Synthetic ECGs with known findings."""
    from ecoscale.datasets.examples import EXAMPLES
    from ecoscale.findings import CODE_FINDINGS

    titles = {finding.name: finding.title for finding in CODE_FINDINGS} | {"normal": "sinus rhythm, no finding"}
    return _json(
        {
            "examples": [
                {
                    "name": name,
                    "title": titles[name],
                    "url": f"/v1/examples/{name}",
                    "filename": f"synthetic-{name}.zip",
                }
                for name in EXAMPLES
            ],
            "note": "Synthetic: drawn by formula, not recorded from people. They are no evidence of accuracy.",
        }
    )


@router.get(
    "/v1/examples/{name}",
    response_class=Response,
    responses=_MISSING | {200: {"content": {"application/zip": {}}, "description": "A WFDB record."}},
    summary="One of them",
)
async def example(name: str) -> Response:
    """A WFDB record of 10 s at 500 Hz, zipped."""
    from ecoscale.datasets.examples import EXAMPLES

    if name not in EXAMPLES:
        raise RefusedError(404, "not_found", f"no example {name[:80]!r}; there are {', '.join(EXAMPLES)}")
    content = await asyncio.to_thread(example_zip, name)
    headers = {"Content-Disposition": f'attachment; filename="synthetic-{name}.zip"'}
    return Response(content, headers=headers, media_type="application/zip")


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> dict[str, str]:
    """It does, if it answers."""
    return {"status": "ok"}


@router.get("/readyz", summary="Whether it classifies", responses={503: {"description": "Not yet, or not any more."}})
async def readyz(request: Request) -> Response:
    """Bundles are loaded, their self-tests passed, and it is not being shut down."""
    service = _service(request)
    status = "ready" if service.ready else "draining" if service.draining else "starting"
    return Response(encoded({"status": status}), 200 if service.ready else 503, media_type=JSON)


@router.get("/metrics", response_class=Response, summary="Figures for Prometheus")
async def metrics(request: Request) -> Response:
    """Requests, latencies, batch sizes, queue and failures."""
    content = await asyncio.to_thread(_service(request).metrics.exposition)
    return Response(content, media_type=CONTENT_TYPE)


@router.get("/", include_in_schema=False)
async def index(request: Request) -> FileResponse:
    """The page, whose first question will be for measurements: neurokit2 takes seconds to load."""
    _service(request).warm_up()
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


def about_bundle(classifier: Classifier) -> dict[str, Any]:
    """Of a bundle's manifest, what a user of its findings should know."""
    manifest = classifier.bundle.manifest
    figures = {found["name"]: found for found in manifest.metrics.get("metrics", {}).get("classes", [])}
    intervals = manifest.metrics.get("intervals", {}).get("classes", {})
    preparation = manifest.preparation
    trusted = reliability(classifier)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "title": classifier.title,
        "created": manifest.created,
        "description": manifest.description,
        "runtime": classifier.runtime.name,
        "single_label": manifest.single_label,
        "labels": [
            {
                "name": label.name,
                "title": label.title,
                "snomed": label.snomed,
                "threshold": label.threshold,
                "prevalence": label.prevalence,
                "metrics": {name: value for name, value in figures.get(label.name, {}).items() if name != "name"},
                "intervals": intervals.get(label.name, {}),
                "reliability": trusted.get(label.name),
                "operating_points": [list(point) for point in label.operating_points],
            }
            for label in classifier.labels
        ],
        "measured_on": manifest.metrics.get("context", {}).get("dataset"),
        "macro": manifest.metrics.get("metrics", {}).get("macro", {}),
        "thresholds_chosen": manifest.thresholds_chosen,
        "calibration_chosen": manifest.calibration_chosen,
        "reads": {"leads": list(preparation.leads), "rate": preparation.rate, "seconds": preparation.seconds},
        "reliability": "/v1/bundle/reliability.png" if RELIABILITY in manifest.files else None,
        "disclaimer": DISCLAIMER,
    }


@lru_cache(maxsize=16)
def example_zip(name: str) -> bytes:
    """An example's header and samples."""
    from ecoscale.datasets.examples import example_ecg
    from ecoscale.datasets.layouts import write_wfdb

    made = example_ecg(name)
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        write_wfdb(folder, [made])
        for suffix in (".hea", ".dat"):
            archive.write(Path(folder) / f"{made.ecg.record}{suffix}", f"{made.ecg.record}{suffix}")
    return packed.getvalue()


def _json(content: dict[str, Any]) -> Response:
    return Response(encoded(content), media_type=JSON)
