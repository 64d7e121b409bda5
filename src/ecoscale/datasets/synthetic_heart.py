"""The hearts and chests that synthetic ECGs are drawn from: parameters, the findings that follow from them, chance.

Nothing measured on them is evidence of accuracy on people. Their signals are drawn by `ecoscale.datasets.synthetic`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecoscale.errors import SignalError
from ecoscale.findings import CODE_FINDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

GENERATED = {finding.name: finding for finding in CODE_FINDINGS}
"""The findings that can be generated."""

# Rows I, II, V1..V6; columns x (left), y (feet), z (back).
_DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
_CONTRADICTIONS = {
    ("SB", "ST"): "one heart rate is not both below 60 and above 100 bpm",
    ("SB", "AF"): "sinus rhythm and atrial fibrillation exclude each other",
    ("ST", "AF"): "sinus rhythm and atrial fibrillation exclude each other",
    ("1dAVb", "AF"): "without a P wave there is no PR interval to be long",
    ("RBBB", "LBBB"): "with both branches blocked no beat is conducted",
}

_POSITIVES = {"1dAVb": 5716, "RBBB": 9672, "LBBB": 6026, "SB": 5605, "ST": 7584, "AF": 7033}
CODE15_PREVALENCE: Mapping[str, float] = {name: n / 345_779 for name, n in _POSITIVES.items()}
"""How often each finding occurs in CODE-15%."""
EVEN_PREVALENCE: Mapping[str, float] = dict.fromkeys(GENERATED, 1 / 7)
"""Every finding in one recording of seven: enough positives in a small collection."""


@dataclass(frozen=True)
class Heart:
    """What the heart does; the findings follow from it.

    Parameters
    ----------
    rate
        Mean ventricular rate in beats per minute.
    pr_interval
        From the beginning of P to the beginning of QRS, in seconds; None in atrial fibrillation.
    qrs_duration
        In seconds; at least 0.12 with a blocked branch, less without.
    conduction
        "normal", or the blocked bundle branch.
    atrial_fibrillation
        Fibrillatory waves instead of P, ventricular rhythm irregularly irregular.
    rr_variation
        Coefficient of variation of the RR intervals; at least 0.1 in atrial fibrillation.

    Raises
    ------
    SignalError
        If a value is outside physiology or two of them contradict each other.
    """

    rate: float = 72.0
    pr_interval: float | None = 0.16
    qrs_duration: float = 0.09
    conduction: Literal["normal", "RBBB", "LBBB"] = "normal"
    atrial_fibrillation: bool = False
    rr_variation: float = 0.03

    def __post_init__(self) -> None:
        def require(true: bool, message: str) -> None:
            if not true:
                raise SignalError(f"this heart cannot be: {message}")

        require(25 <= self.rate <= 220, f"rate is {self.rate} bpm; expected 25 to 220")
        require(self.conduction in ("normal", "RBBB", "LBBB"), f"conduction is {self.conduction!r}")
        low, high = (0.06, 0.12) if self.conduction == "normal" else (0.12, 0.2)
        require(
            low <= self.qrs_duration <= high and (self.conduction != "normal" or self.qrs_duration < high),
            f"qrs_duration is {self.qrs_duration} s with conduction {self.conduction!r}; expected {low} to {high}",
        )
        if self.atrial_fibrillation:
            require(self.pr_interval is None, f"pr_interval is {self.pr_interval} s in atrial fibrillation; give None")
            low, high = 0.1, 0.35
        else:
            longest = min(0.5, 60 / self.rate - self.qrs_duration)
            require(
                self.pr_interval is not None and 0.1 <= self.pr_interval <= longest,
                f"pr_interval is {self.pr_interval} s at {self.rate:g} bpm; expected 0.1 to {longest:.2f}",
            )
            low, high = 0.0, 0.08
        require(low <= self.rr_variation <= high, f"rr_variation is {self.rr_variation}; expected {low} to {high}")

    @property
    def qt_interval(self) -> float:
        """Seconds from the beginning of QRS to the end of T: 0.40 s corrected by Fridericia, longer with a wide QRS."""
        return 0.40 * (60 / self.rate) ** (1 / 3) + 0.6 * max(0.0, self.qrs_duration - 0.1)

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the findings that these values amount to, in the order of `GENERATED`."""
        sinus = not self.atrial_fibrillation
        present = {
            "1dAVb": self.pr_interval is not None and self.pr_interval > 0.2,
            "RBBB": self.conduction == "RBBB",
            "LBBB": self.conduction == "LBBB",
            "SB": sinus and self.rate < 60,
            "ST": sinus and self.rate > 100,
            "AF": self.atrial_fibrillation,
        }
        return tuple(name for name in GENERATED if present[name])


@dataclass(frozen=True, eq=False)
class Torso:
    """How one person's heart lies in the chest and how the electrodes lie on it.

    `axis` turns the forces in the frontal plane (degrees, positive to the right), `rotation` about the long axis
    (degrees, positive towards the back); `amplitude` and `t_amplitude` scale all waves and T; `lead_fields` projects
    the dipole on I, II and V1..V6, `(8, 3)`.
    """

    axis: float = 0.0
    rotation: float = 0.0
    amplitude: float = 1.0
    t_amplitude: float = 1.0
    lead_fields: NDArray[np.float64] = field(default_factory=_DOWER.copy)

    def lead_vectors(self) -> NDArray[np.float64]:
        """`lead_fields` with the heart's position and size applied, `(8, 3)`."""
        a, r = np.radians([self.axis, self.rotation])
        frontal = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        horizontal = np.array([[np.cos(r), 0, -np.sin(r)], [0, 1, 0], [np.sin(r), 0, np.cos(r)]])
        return self.amplitude * self.lead_fields @ frontal @ horizontal


def random_heart(findings: Iterable[str], random: Generator) -> Heart:
    """A heart with exactly these findings, well inside their definitions.

    Raises `SignalError` for a name that is not in `GENERATED` and for findings that contradict each other.
    """
    wanted = set(findings)
    if unknown := sorted(wanted - GENERATED.keys()):
        raise SignalError(f"no finding {', '.join(map(repr, unknown))} to generate; there are {', '.join(GENERATED)}")
    for (one, other), reason in _CONTRADICTIONS.items():
        if wanted >= {one, other}:
            raise SignalError(f"findings {one} and {other} contradict each other: {reason}")
    fibrillation = "AF" in wanted
    slowest, fastest = 62.0, 96.0
    if "SB" in wanted:
        slowest, fastest = 40.0, 56.0
    elif "ST" in wanted:
        slowest, fastest = 104.0, 125.0 if "1dAVb" in wanted else 150.0
    elif fibrillation:
        slowest, fastest = 62.0, 140.0
    rate = random.uniform(slowest, fastest)
    conduction = "RBBB" if "RBBB" in wanted else "LBBB" if "LBBB" in wanted else "normal"
    qrs_duration = random.uniform(0.075, 0.105) if conduction == "normal" else random.uniform(0.13, 0.17)
    pr_interval = None
    if not fibrillation:
        pr_interval = (
            random.uniform(0.22, min(0.34, 60 / rate - qrs_duration - 0.03))
            if "1dAVb" in wanted
            else random.uniform(0.12, 0.185)
        )
    variation = random.uniform(0.15, 0.25) if fibrillation else random.uniform(0.01, 0.04)
    return Heart(rate, pr_interval, qrs_duration, conduction, fibrillation, variation)


def random_torso(random: Generator) -> Torso:
    """A person: axis, rotation, amplitudes, and electrodes not quite where the book has them."""
    fields = _DOWER * np.exp(random.normal(0, 0.08, (8, 1)))
    shift = np.clip(random.normal(0, 0.15, (6, 1)), -0.3, 0.3)
    fields[2:] += shift * np.gradient(fields[2:], axis=0)
    return Torso(
        axis=float(np.clip(random.normal(-6, 9), -22, 14)),
        rotation=float(np.clip(random.normal(0, 8), -15, 15)),
        amplitude=float(np.exp(np.clip(random.normal(0, 0.18), -0.3, 0.4))),
        t_amplitude=float(np.exp(np.clip(random.normal(0, 0.25), -0.5, 0.5))),
        lead_fields=fields,
    )


def random_findings(random: Generator, prevalence: Mapping[str, float] = CODE15_PREVALENCE) -> tuple[str, ...]:
    """Findings that can occur together, each as often as `prevalence` says. Raises `SignalError` if none can."""
    share = {name: float(prevalence.get(name, 0.0)) for name in GENERATED}
    rhythms, branches = ("SB", "ST", "AF"), ("RBBB", "LBBB")
    totals = [sum(share[name] for name in group) for group in (rhythms, branches, ("1dAVb", "AF"))]
    if max(totals) > 1 or min(share.values()) < 0 or prevalence.keys() - GENERATED.keys():
        raise SignalError(f"prevalence {dict(prevalence)} is impossible: SB+ST+AF, RBBB+LBBB and 1dAVb+AF exclude")
    rhythm, branch, delay = random.uniform(size=3)
    found = set()
    for draw, group in ((rhythm, rhythms), (branch, branches)):
        place = int(np.searchsorted(np.cumsum([share[name] for name in group]), draw, side="right"))
        found |= set(group[place : place + 1])
    if "AF" not in found and delay * (1 - share["AF"]) < share["1dAVb"]:
        found.add("1dAVb")
    return tuple(name for name in GENERATED if name in found)
