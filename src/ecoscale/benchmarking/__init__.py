"""A published benchmark run from end to end: recipes trained, records of its test fold scored, figures beside its own.

What is measured comes from `ecoscale.evaluation`, what is trained from `ecoscale.training`; neither is done here.
"""

from ecoscale.benchmarking.figures import Figures, measure_scores
from ecoscale.benchmarking.protocol import (
    BENCHMARKS,
    Aggregate,
    Benchmark,
    Epoch,
    Folds,
    Published,
    choose_folds,
    named_benchmark,
    recipe_for,
)
from ecoscale.benchmarking.report import BenchmarkReport
from ecoscale.benchmarking.scoring import Protocol, Scores, open_records, train_and_score

__all__ = [
    "BENCHMARKS",
    "Aggregate",
    "Benchmark",
    "BenchmarkReport",
    "Epoch",
    "Figures",
    "Folds",
    "Protocol",
    "Published",
    "Scores",
    "choose_folds",
    "measure_scores",
    "named_benchmark",
    "open_records",
    "recipe_for",
    "train_and_score",
]
