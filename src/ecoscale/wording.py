"""What a result says in plain words: the same in the terminal, beside a sheet, in the HTML page and in the PDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecoscale.inference import Classifier, Prediction
    from ecoscale.measurements import Measurements

# What each code of a warning means to a reader; the explanation after the colon follows it.
WARNING_TITLES = {
    "derived_leads": "Some leads were computed from others",
    "derived_waveform": "The waveform is not the original",
    "excerpt": "Only an excerpt was read",
    "flat_lead": "A lead shows no signal",
    "ignored_channels": "Some channels were left out",
    "implausible_amplitude": "The amplitude is hard to believe",
    "inconsistent_leads": "The leads contradict each other",
    "lead_order": "The order of the leads was worked out",
    "low_rate": "The sampling rate is low",
    "missing_samples": "Part of the signal is missing",
    "padding_removed": "Padding was removed",
    "saturated": "The signal is clipped",
    "short_signal": "The recording is short",
}


def percent(share: float) -> str:
    """One decimal, and never a rounded 0 or 100 for what is neither."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def sentence(text: str) -> str:
    """With a capital first letter; `str.capitalize` would lower the others."""
    return text[:1].upper() + text[1:]


def warning_in_words(warning: str) -> tuple[str, str]:
    """A `code: explanation` as a title in plain words and its explanation."""
    code, colon, explanation = warning.partition(": ")
    if not colon or " " in code:
        return "", warning
    return WARNING_TITLES.get(code, sentence(code.replace("_", " "))), explanation


def measured_rows(measurements: Measurements) -> list[tuple[str, str]]:
    """Each measurement by name, with its unit, or a dash; the axis in degrees."""
    values = (
        ("Heart rate", measurements.heart_rate, "/min"),
        ("PR interval", measurements.pr, " ms"),
        ("QRS duration", measurements.qrs, " ms"),
        ("QT interval", measurements.qt, " ms"),
        ("QTc (Fridericia)", measurements.qtc, " ms"),
        ("QRS axis", measurements.axis, "°"),
    )
    return [(name, "-" if value is None else f"{value:.0f}{unit}") for name, value, unit in values]


def measured_line(measurements: Measurements) -> str:
    """The measurements in one line; only the notes where nothing was measured."""
    found = [f"{name} {value}" for name, value in measured_rows(measurements) if value != "-"]
    return ", ".join(found) if found else "; ".join(measurements.notes)


def verdict(prediction: Prediction) -> str:
    """What is present, in one line; of classes that exclude each other the one that it is, with its probability."""
    if prediction.single_label:
        (found,) = (finding for finding in prediction.findings.values() if finding.present)
        return f"{sentence(found.title)}, {percent(found.probability)}"
    present = [finding.title for finding in prediction.findings.values() if finding.present]
    if present:
        return sentence(", ".join(present))
    return f"None of the {len(prediction.findings)} findings reaches its threshold"


def reliability(classifier: Classifier) -> dict[str, str]:
    """What the bundle knows of how far each finding can be trusted, at the threshold in use; by name.

    From its validation records (`bundle.json`): sensitivity and specificity, and the share of alarms that are right at
    the prevalence there. Findings whose threshold is another than the one that was measured are left out, and so are
    classes that exclude each other, which have none.
    """
    told = {}
    for label in classifier.labels:
        threshold = float("nan") if label.threshold is None else label.threshold
        points = [point for point in label.operating_points if abs(point[0] - threshold) < 1e-9]
        if not points or label.name in classifier.corrections:
            continue
        _, sensitivity, specificity = points[0]
        text = f"in validation: sensitivity {percent(sensitivity)}, specificity {percent(specificity)}"
        right, wrong = (label.prevalence or 0) * sensitivity, (1 - (label.prevalence or 0)) * (1 - specificity)
        if label.prevalence and right + wrong:
            text += f", {percent(right / (right + wrong))} of alarms right where {percent(label.prevalence)} have it"
        told[label.name] = text
    return told
