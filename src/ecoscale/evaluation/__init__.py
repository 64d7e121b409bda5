"""What a network is worth: metrics, thresholds, calibration, bootstrap intervals and the report.

Takes arrays: labels (1 present, 0 absent, -1 unknown) and probabilities, `(records, classes)`, and patient ids. Where
thresholds are None, the classes exclude each other, and a record's class is the most probable one.
Reads no dataset, runs no network and never imports torch.
"""

from ecoscale.evaluation._arrays import EvaluationError, mean_of_defined
from ecoscale.evaluation.bootstrap import (
    RESAMPLED_METRICS,
    BootstrapIntervals,
    Interval,
    PairedDifference,
    bootstrap_intervals,
    paired_difference,
    patient_multiplicities,
    weighted_metrics,
)
from ecoscale.evaluation.calibration import fit_calibration, fit_platt
from ecoscale.evaluation.calibration_comparison import CalibrationComparison, compare_calibrations
from ecoscale.evaluation.confusion import Confusion, confusion_table
from ecoscale.evaluation.metrics import (
    METRICS,
    ClassMetrics,
    Metrics,
    class_auroc,
    decision_counts,
    decision_rates,
    macro_auroc,
    measure,
)
from ecoscale.evaluation.reliability import ReliabilityCurve, expected_calibration_error, reliability_curve
from ecoscale.evaluation.report import Evaluation, evaluate, render_table, write_report
from ecoscale.evaluation.seeds import (
    MACRO,
    SEED_METRICS,
    Difference,
    OverSeeds,
    SeedComparison,
    TrainedOnce,
    compare_over_seeds,
)
from ecoscale.evaluation.single_label import (
    OVERALL_METRICS,
    overall_intervals,
    paired_overall_difference,
    weighted_overall,
)
from ecoscale.evaluation.thresholds import (
    ChosenThresholds,
    CrossFittedF1,
    choose_thresholds,
    cross_fitted_f1,
    operating_points,
)

__all__ = [
    "MACRO",
    "METRICS",
    "OVERALL_METRICS",
    "RESAMPLED_METRICS",
    "SEED_METRICS",
    "BootstrapIntervals",
    "CalibrationComparison",
    "ChosenThresholds",
    "ClassMetrics",
    "Confusion",
    "CrossFittedF1",
    "Difference",
    "Evaluation",
    "EvaluationError",
    "Interval",
    "Metrics",
    "OverSeeds",
    "PairedDifference",
    "ReliabilityCurve",
    "SeedComparison",
    "TrainedOnce",
    "bootstrap_intervals",
    "choose_thresholds",
    "class_auroc",
    "compare_calibrations",
    "compare_over_seeds",
    "confusion_table",
    "cross_fitted_f1",
    "decision_counts",
    "decision_rates",
    "evaluate",
    "expected_calibration_error",
    "fit_calibration",
    "fit_platt",
    "macro_auroc",
    "mean_of_defined",
    "measure",
    "operating_points",
    "overall_intervals",
    "paired_difference",
    "paired_overall_difference",
    "patient_multiplicities",
    "reliability_curve",
    "render_table",
    "weighted_metrics",
    "weighted_overall",
    "write_report",
]
