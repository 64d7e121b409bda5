"""What goes in and comes out, as OpenAPI says it: parameters, samples as JSON, and the answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ecoscale.findings import DISCLAIMER


class Reading(BaseModel):
    """What a client states about its files: which bundle reads them, and what they do not say themselves."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    bundle: Annotated[str | None, Field(description="A bundle's name (default: the first of /v1/bundles).")] = None
    record: Annotated[str | None, Field(description="Which recording, in a file that holds several.")] = None
    rate: Annotated[float | None, Field(gt=0, description="Samples per second, for files that do not state it.")] = None
    unit: Annotated[str | None, Field(description="mV, uV or V, for files that do not state it.")] = None
    leads: Annotated[
        str | None, Field(description="Lead names in order, for files that do not state them: I,II,V1,...")
    ] = None
    filename: Annotated[str | None, Field(description="The file's name, where the body is the file itself.")] = None

    @property
    def options(self) -> dict[str, Any]:
        """As options of `read_ecg`."""
        leads = None if self.leads is None else self.leads.replace(",", " ").split()
        stated = {"record": self.record, "rate": self.rate, "unit": self.unit, "leads": leads}
        return {name: value for name, value in stated.items() if value is not None}


class Samples(BaseModel):
    """An ECG as JSON: a list of samples for each lead; null is a missing sample."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"signal": [[0.01, 0.02, None], [0.05, 0.06, 0.05]], "rate": 500, "unit": "mV", "leads": ["I", "II"]}
            ]
        },
    )

    signal: Annotated[list[Annotated[list[float | None], Field(min_length=1)]], Field(min_length=1)]
    rate: Annotated[float, Field(gt=0, description="Samples per second.")]
    unit: Annotated[str, Field(description="mV, uV or V.")]
    leads: Annotated[list[str], Field(min_length=1, description="A name for each row of the signal.")]


class Error(BaseModel):
    """What is wrong, for programs (`code`) and people (`message`)."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """Every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "unreadable_file",
                        "message": "ecg.dcm: the file is empty; copy or download it again.",
                    }
                }
            ]
        }
    )

    error: Error


class FindingAnswer(BaseModel):
    """What the network says of one finding."""

    probability: Annotated[float, Field(ge=0, le=1)]
    threshold: Annotated[float, Field(ge=0, le=1, description="null: of classes that exclude each other")] | None
    present: bool
    snomed: str | None
    prevalence: float | None = None


class PredictionAnswer(BaseModel):
    """What an ECG shows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": "ecg.dcm",
                    "record": "",
                    "findings": {
                        "AF": {"probability": 0.981234, "threshold": 0.41, "present": True, "snomed": "164889003"}
                    },
                    "warnings": ["short_signal: 4.00 s; rhythm needs at least 5 s"],
                    "warnings_in_words": [
                        {"title": "The recording is short", "explanation": "4.00 s; rhythm needs at least 5 s"}
                    ],
                    "bundle": "six-findings 3 (int8)",
                    "disclaimer": DISCLAIMER,
                    "titles": {"AF": "atrial fibrillation"},
                }
            ]
        }
    )

    source: str
    record: str
    findings: dict[str, FindingAnswer]
    warnings: list[str]
    warnings_in_words: list[dict[str, str]]
    bundle: str
    disclaimer: str
    titles: dict[str, str]
    measurements: dict[str, Any] | None = None
    disagreements: list[str] | None = None


class FailureAnswer(BaseModel):
    """A file of several that could not be read or classified."""

    source: str
    record: str = ""
    error: str


class BatchAnswer(BaseModel):
    """An entry for each recording, in the order of the files."""

    results: list[PredictionAnswer | FailureAnswer]


class SignalAnswer(BaseModel):
    """A stretch of signal to draw: a list for each lead, whole microvolts or null; `clock` is the time at its start."""

    source: str
    record: str
    leads: list[str]
    rate: float
    unit: Literal["uV"]
    start: float
    seconds: float
    duration: float
    clock: str | None
    signal: list[list[int | None]]
    warnings: list[str]


class ExplanationAnswer(BaseModel):
    """Which leads and seconds speak for a finding: `values` by lead and step, in [-1, 1]."""

    model_config = ConfigDict(extra="allow")

    finding: str
    method: str
    leads: list[str]
    start: float
    step: float
    values: list[list[float]]


class TimelineAnswer(BaseModel):
    """What a long record shows, and when: shares of time and episodes by finding, and every window."""

    model_config = ConfigDict(extra="allow")

    findings: dict[str, Any]
    windows: list[dict[str, Any]]
    disclaimer: str


class LabelAnswer(BaseModel):
    """One finding of a bundle."""

    name: str
    title: str
    snomed: str | None
    threshold: float | None
    prevalence: float | None
    metrics: dict[str, Any]
    reliability: str | None
    operating_points: list[list[float]]


class BundleAnswer(BaseModel):
    """What a bundle knows and how good it was found to be."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    title: str
    single_label: bool
    labels: list[LabelAnswer]
    disclaimer: str


class BundlesAnswer(BaseModel):
    """The bundles that are served, the default first."""

    bundles: list[str]


class ExamplesAnswer(BaseModel):
    """Synthetic ECGs to try the service with."""

    examples: list[dict[str, Any]]
    note: str
