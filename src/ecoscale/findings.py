"""The vocabulary: each finding's name, meaning and SNOMED-CT code, in one place.

How the codes of each collection map onto it stands in `ecoscale/datasets/mappings/`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that an ECG can show; `snomed` is None where it is a group of statements rather than one concept."""

    name: str
    title: str
    snomed: str | None


CODE_FINDINGS: tuple[Finding, ...] = (
    Finding("1dAVb", "first degree atrioventricular block", "270492004"),
    Finding("RBBB", "right bundle branch block", "59118001"),
    Finding("LBBB", "left bundle branch block", "164909002"),
    Finding("SB", "sinus bradycardia", "426177001"),
    Finding("ST", "sinus tachycardia", "427084000"),
    Finding("AF", "atrial fibrillation", "164889003"),
)
"""The six findings of the CODE study (Ribeiro et al. 2020), in the order of CODE-15%'s columns."""

PTBXL_SUPERCLASSES: tuple[Finding, ...] = (
    Finding("NORM", "normal ECG", None),
    Finding("MI", "myocardial infarction", None),
    Finding("STTC", "ST or T wave change", None),
    Finding("CD", "conduction disturbance", None),
    Finding("HYP", "hypertrophy", None),
)
"""The five groups of PTB-XL's diagnostic statements (Wagner et al. 2020, table 8)."""

CHAGAS = Finding("Chagas", "Chagas disease, by report or serology (a disease, not an ECG finding)", "77506005")
"""What the PhysioNet Challenge 2025 asks of an ECG: whom to test for the disease, which no ECG shows for certain."""

FINDINGS: dict[str, Finding] = {finding.name: finding for finding in (*CODE_FINDINGS, *PTBXL_SUPERCLASSES, CHAGAS)}

DISCLAIMER = (
    "Research software. Its findings are the output of a statistical model, not a diagnosis, and it is not a medical "
    "device. A qualified person must read the ECG."
)
