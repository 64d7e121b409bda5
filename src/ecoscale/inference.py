"""A bundle in use: ECG in, findings out, with numpy and onnxruntime only."""

from __future__ import annotations

from dataclasses import dataclass

from ecoscale.findings import DISCLAIMER


@dataclass(frozen=True)
class FindingResult:
    """What the network says of one finding."""

    name: str
    title: str
    snomed: str
    probability: float
    threshold: float

    @property
    def present(self) -> bool:
        """Whether the probability reaches the threshold."""
        return self.probability >= self.threshold


@dataclass(frozen=True)
class Prediction:
    """What one ECG shows."""

    source: str
    record: str
    findings: dict[str, FindingResult]
    warnings: tuple[str, ...]
    bundle: str
    disclaimer: str = DISCLAIMER

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the findings whose probability reaches their threshold."""
        return tuple(name for name, finding in self.findings.items() if finding.present)

    def to_dict(self) -> dict[str, object]:
        """As plain values, the form of one line of `ecoscale predict --format json`."""
        return {
            "source": self.source,
            "record": self.record,
            "findings": {
                name: {
                    "probability": round(finding.probability, 6),
                    "threshold": round(finding.threshold, 6),
                    "present": finding.present,
                    "snomed": finding.snomed,
                }
                for name, finding in self.findings.items()
            },
            "warnings": list(self.warnings),
            "bundle": self.bundle,
            "disclaimer": self.disclaimer,
        }
