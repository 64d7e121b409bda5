"""Where rule and network disagree: textbook limits on what was measured, against the findings of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecoscale.inference import Prediction
    from ecoscale.measurements.measure import Measurements

FIRST_DEGREE_BLOCK = ("1dAVb", "1AVB", "LPR")
BRADYCARDIA = ("SB", "SBRAD", "Brady")
TACHYCARDIA = ("ST", "STACH", "SVTAC", "PSVT")
FIBRILLATION = ("AF", "AFIB")
FLUTTER = ("AFL", "AFLT")
LEFT_BLOCK, RIGHT_BLOCK = ("LBBB", "CLBBB"), ("RBBB", "CRBBB")
OTHER_WIDE = ("NSIVCB", "IVCD", "BBB", "WPW", "PR", "PACE", "CD")
"""What else widens QRS, by the names of the bundles: pacing, pre-excitation, and delays without a side."""
LONG_QT = ("LQT", "LNGQT")
LEFT_AXIS, RIGHT_AXIS = ("LAD", "LAnFB", "LAFB"), ("RAD", "LPFB")

SLOW, SLOW_AT_MOST, FAST = 50, 60, 100
LONG_PR, WIDE_QRS, QTC_LONG = 200, 120, 460
LEFT_OF, RIGHT_OF = -30, 90
REGULAR = 0.05
"""Variation of RR intervals below which a rhythm is called regular here. It is ours: docs/measurements.md says how many
records with atrial fibrillation, and with sinus rhythm, are below."""


def disagreements(measurements: Measurements, prediction: Prediction) -> tuple[str, ...]:
    """Sentences on where measurements and findings contradict each other; empty where they do not.

    Only findings that the bundle knows are judged, and only what was measured. Limits: bradycardia below 50/min, and
    none above 60 (Kusumoto et al. 2019, doi 10.1161/CIR.0000000000000628); sinus tachycardia above 100/min (Page et al.
    2016, doi 10.1161/CIR.0000000000000311); a long PR above 200 ms (Kusumoto et al. 2019); complete bundle branch block
    from 120 ms of QRS on, and the axis left of -30 or right of 90 degrees (Surawicz et al. 2009,
    doi 10.1161/CIRCULATIONAHA.108.191095); a long QTc from 460 ms on in women, 450 in men, of which the first is taken
    for all, where QRS is not wide (Rautaharju et al. 2009, doi 10.1161/CIRCULATIONAHA.108.191096); irregular RR
    intervals and no repeating P wave in atrial fibrillation (Joglar et al. 2024, doi 10.1161/CIR.0000000000001193).
    """
    judged = _Judged(prediction)
    return tuple(
        sentence
        for rule in (_rate, _atrial_fibrillation, _pr, _qrs, _qtc, _axis)
        for sentence in rule(measurements, judged)
    )


class _Judged:
    """The findings of a prediction, asked for by groups of names."""

    def __init__(self, prediction: Prediction) -> None:
        self._findings = prediction.findings

    def known(self, *groups: tuple[str, ...]) -> list[str]:
        """The names that the bundle knows."""
        return [name for group in groups for name in group if name in self._findings]

    def found(self, *groups: tuple[str, ...]) -> list[str]:
        """The names that are present."""
        return [name for name in self.known(*groups) if self._findings[name].present]

    def missed(self, *groups: tuple[str, ...]) -> list[str]:
        """The names that are known, where none of them is present."""
        return [] if self.found(*groups) else self.known(*groups)


def _absent(names: list[str]) -> str:
    """`LBBB and RBBB were not found`, or of one name alone."""
    if len(names) == 1:
        return f"{names[0]} was not found"
    return f"none of {', '.join(names)} was found"


def _rate(measured: Measurements, judged: _Judged) -> list[str]:
    if measured.heart_rate is None:
        return []
    said, rate = [], round(measured.heart_rate)
    irregular = judged.found(FIBRILLATION, FLUTTER)
    if rate < SLOW and not irregular and (names := judged.missed(BRADYCARDIA)):
        said.append(f"The heart rate is {rate}/min, below {SLOW}, and {_absent(names)}.")
    if rate >= SLOW_AT_MOST and (names := judged.found(BRADYCARDIA)):
        said.append(f"{names[0]} was found, and the heart rate is {rate}/min, not below {SLOW_AT_MOST}.")
    if rate > FAST and not irregular and (names := judged.missed(TACHYCARDIA)):
        said.append(f"The heart rate is {rate}/min, above {FAST}, and {_absent(names)}.")
    if rate < FAST and (names := judged.found(TACHYCARDIA)):
        said.append(f"{names[0]} was found, and the heart rate is {rate}/min, below {FAST}.")
    return said


def _atrial_fibrillation(measured: Measurements, judged: _Judged) -> list[str]:
    if not (names := judged.found(FIBRILLATION)):
        return []
    said = []
    if measured.pr is not None:
        said.append(f"{names[0]} was found, and a P wave repeats before each QRS (PR {round(measured.pr)} ms).")
    if measured.rr_variation is not None and measured.rr_variation < REGULAR:
        share = 100 * measured.rr_variation
        said.append(f"{names[0]} was found, and the rhythm is regular (RR intervals vary by {share:.1f} %).")
    return said


def _pr(measured: Measurements, judged: _Judged) -> list[str]:
    if measured.pr is None:
        return []
    pr = round(measured.pr)
    if pr > LONG_PR and (names := judged.missed(FIRST_DEGREE_BLOCK)):
        return [f"The PR interval is {pr} ms, above {LONG_PR}, and {_absent(names)}."]
    if pr <= LONG_PR and (names := judged.found(FIRST_DEGREE_BLOCK)):
        return [f"{names[0]} was found, and the PR interval is {pr} ms, not above {LONG_PR}."]
    return []


def _qrs(measured: Measurements, judged: _Judged) -> list[str]:
    if measured.qrs is None:
        return []
    qrs = round(measured.qrs)
    if qrs >= WIDE_QRS:
        # Only who knows both sides says something by finding neither.
        both = judged.known(LEFT_BLOCK) and judged.known(RIGHT_BLOCK)
        if both and not judged.found(LEFT_BLOCK, RIGHT_BLOCK, OTHER_WIDE):
            names = judged.known(LEFT_BLOCK, RIGHT_BLOCK)
            return [f"QRS lasts {qrs} ms, {WIDE_QRS} or more, and {_absent(names)}."]
        return []
    return [
        f"{name} was found, and QRS lasts {qrs} ms, less than {WIDE_QRS}."
        for name in judged.found(LEFT_BLOCK, RIGHT_BLOCK)
    ]


def _qtc(measured: Measurements, judged: _Judged) -> list[str]:
    if measured.qtc is None or measured.qrs is None or round(measured.qrs) >= WIDE_QRS:
        return []
    qtc = round(measured.qtc)
    if qtc >= QTC_LONG and (names := judged.missed(LONG_QT)):
        return [f"QTc is {qtc} ms (Fridericia), {QTC_LONG} or more, and {_absent(names)}."]
    if qtc < QTC_LONG - 10 and (names := judged.found(LONG_QT)):
        return [f"{names[0]} was found, and QTc is {qtc} ms (Fridericia), less than {QTC_LONG - 10}."]
    return []


def _axis(measured: Measurements, judged: _Judged) -> list[str]:
    if measured.axis is None:
        return []
    said, axis = [], round(measured.axis)
    left, right = -90 <= axis < LEFT_OF, RIGHT_OF < axis <= 180
    if left and judged.known(LEFT_AXIS[:1]) and (names := judged.missed(LEFT_AXIS)):
        said.append(f"The QRS axis is {axis} degrees, left of {LEFT_OF}, and {_absent(names)}.")
    if right and judged.known(RIGHT_AXIS[:1]) and (names := judged.missed(RIGHT_AXIS)):
        said.append(f"The QRS axis is {axis} degrees, right of {RIGHT_OF}, and {_absent(names)}.")
    if not left and (names := judged.found(LEFT_AXIS)):
        said.append(f"{names[0]} was found, and the QRS axis is {axis} degrees.")
    if not right and (names := judged.found(RIGHT_AXIS)):
        said.append(f"{names[0]} was found, and the QRS axis is {axis} degrees.")
    return said
