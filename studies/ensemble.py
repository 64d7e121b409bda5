"""What the mean of several runs' probabilities reaches on their common validation part, for the six findings of CODE.

    python studies/ensemble.py runs/ptbxl-six-findings runs/networks/radix-squeeze-32-0

Runs of a task of PTB-XL count by their statements (1AVB is 1dAVb). Means are of sigmoids, without calibration.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.special import expit

from ecoscale.evaluation import choose_thresholds, cross_fitted_f1, macro_auroc, measure
from ecoscale.training import Run

STATEMENTS = {"1dAVb": "1AVB", "RBBB": "CRBBB", "LBBB": "CLBBB", "SB": "SBRAD", "ST": "STACH", "AF": "AFIB"}


def main(folders: list[str]) -> None:
    """Print the figures of each run and of their mean."""
    if not folders:
        raise SystemExit(__doc__)
    names, probabilities, records, labels = list(STATEMENTS), [], None, None
    for folder in folders:
        run = Run(Path(folder))
        findings = run.recipe.findings
        columns = [findings.index(name if name in findings else STATEMENTS[name]) for name in names]
        validation = run.validation
        if records is None:
            records, labels = list(validation["records"]), validation["labels"][:, columns]
        elif records != list(validation["records"]):
            raise SystemExit(f"{folder}: validated on other records than {folders[0]}")
        probabilities.append(expit(validation["logits"][:, columns].astype(np.float64)))
        report(folder, labels, probabilities[-1], names)
    report(f"mean of {len(folders)}", labels, np.mean(probabilities, axis=0), names)


def report(title: str, labels: np.ndarray, probabilities: np.ndarray, names: list[str]) -> None:
    """One line: macro AUROC, macro F1 at thresholds chosen here, and cross-fitted."""
    thresholds = choose_thresholds(labels, probabilities).values
    f1 = measure(labels, probabilities, thresholds, names).macro["f1"]
    fitted = cross_fitted_f1(labels, probabilities).macro
    print(f"{title}: AUROC {macro_auroc(labels, probabilities):.4f}, F1 {f1:.4f}, cross-fitted {fitted:.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
