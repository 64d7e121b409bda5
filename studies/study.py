"""Rows side by side on PTB-XL: trains a study's rows by its recipe, and makes the tables and the plot.

    python studies/study.py networks run radix --data PTB-XL --seed 0     # one row, one seed
    python studies/study.py networks table                                # all results, as Markdown
    python studies/study.py networks plot docs/networks.svg
    python studies/study.py training table --against base

A study is a folder: `recipe.yaml`, by which every row trains; `rows.yaml`, what each row changes; `tasks.yaml`, which
findings are measured together. A result is two files in its `results`: figures (JSON) and the logits of fold 9 of
those findings (NumPy). What is said of several seeds is the mean of their figures; its interval resamples the patients
of fold 9, the same resamples for every row, and holds the seeds fixed; the spread over the seeds stands beside it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

if TYPE_CHECKING:
    from ecoscale.training import Recipe

HERE = Path(__file__).parent
STUDIES = ("networks", "training")
EVERY = "every finding"
METRICS = ("auroc", "f1")
N_RESAMPLES = 1000


@dataclass(frozen=True)
class Study:
    """A folder with a recipe, rows, tasks and results."""

    folder: Path

    @cached_property
    def rows(self) -> dict[str, dict]:
        """The rows by name."""
        return yaml.safe_load((self.folder / "rows.yaml").read_text())

    @cached_property
    def tasks(self) -> dict[str, list[str]]:
        """The findings that are measured together, by task."""
        return yaml.safe_load((self.folder / "tasks.yaml").read_text())

    @property
    def names(self) -> list[str]:
        """The findings of all tasks, whose logits are kept."""
        return [name for task in self.tasks.values() for name in task]

    @property
    def results(self) -> Path:
        """Where results are kept."""
        return self.folder / "results"

    def recipe(self, row: str, seed: int) -> Recipe:
        """The recipe of one row and seed."""
        from ecoscale.training import load_recipe

        about, changes = self.rows[row], {}
        if "model" in about:
            changes["model"] = {"name": about["model"], "config": about.get("config", {})}
        return load_recipe(self.folder / "recipe.yaml", name=row, seed=seed, **changes, **about.get("changes", {}))


def run(study: Study, row: str, seed: int, data: Path, runs: Path) -> None:
    """Train one row with one seed (or go on with it), and write its result."""
    from ecoscale.complexity import measure_complexity
    from ecoscale.evaluation import choose_thresholds, cross_fitted_f1, macro_auroc, measure
    from ecoscale.training import Run, train

    recipe = study.recipe(row, seed)
    if study.rows[row].get("record_scale"):
        _scale_records_by_themselves()
    folder = runs / f"{row}-{seed}"
    done = Run(folder)
    begun = (folder / "recipe.yaml").exists()
    if not begun or len(done.history) < recipe.optimisation.epochs:
        train(recipe, {"ptbxl": data}, folder, stores=runs / "stores", resume=begun)
    validation = done.validation
    labels, logits = validation["labels"], validation["logits"]
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    cost = measure_complexity(done.load_network(), recipe.preparation.n_channels, recipe.preparation.window)
    figures: dict[str, dict] = {EVERY: {"auroc": float(macro_auroc(labels, probabilities))}}
    for task, names in study.tasks.items():
        columns = [recipe.findings.index(name) for name in names]
        truth, scores = labels[:, columns], probabilities[:, columns]
        thresholds = choose_thresholds(truth, scores, names=names).values
        figures[task] = {
            "auroc": float(macro_auroc(truth, scores)),
            "f1": measure(truth, scores, thresholds, names).macro["f1"],
            "f1_cross_fitted": cross_fitted_f1(truth, scores, validation["patients"], names).macro,
            "thresholds": dict(zip(names, thresholds.tolist(), strict=True)),
        }
    study.results.mkdir(exist_ok=True)
    kept = [recipe.findings.index(name) for name in study.names]
    np.savez_compressed(
        study.results / f"{row}-{seed}.npz",
        logits=logits[:, kept].astype(np.float16),
        labels=labels[:, kept],
        records=validation["records"],
    )
    result = {
        "row": row,
        "seed": seed,
        "model": recipe.model.model_dump(),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "epochs": len(done.history),
        "seconds": round(sum(epoch["seconds"] for epoch in done.history)),
        "history": [{k: round(v, 5) for k, v in epoch.items()} for epoch in done.history],
        "figures": figures,
    }
    (study.results / f"{row}-{seed}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(row, seed, {task: {k: round(v, 4) for k, v in f.items() if k != "thresholds"} for task, f in figures.items()})


def _scale_records_by_themselves() -> None:
    """For one row: standardise each record by its own mean and deviation, which the package does not offer."""
    from ecoscale.training.module import TrainingModule

    def standardise(_module, signals):
        return (signals - signals.mean((1, 2), keepdim=True)) / signals.std((1, 2), keepdim=True).clamp(min=1e-3)

    TrainingModule._standardise = standardise


def load_results(study: Study) -> dict[str, list[dict]]:
    """The results by row, in the order of `rows.yaml`; logits and labels come with them."""
    found = defaultdict(list)
    for row in study.rows:
        for path in sorted(study.results.glob(f"{row}-[0-9]*.json")):
            result = json.loads(path.read_text())
            if result["row"] == row:
                with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                    result |= {name: arrays[name] for name in ("logits", "labels", "records")}
                found[row].append(result)
    return dict(found)


def resample(study: Study, results: dict[str, list[dict]]) -> dict[str, dict[tuple[str, str], np.ndarray]]:
    """For each row, (task, metric) to the seeds' mean: first as it is, then under each resample of the patients."""
    from ecoscale.evaluation import patient_multiplicities, weighted_metrics

    names = study.names
    records = next(iter(results.values()))[0]["records"]
    # The table at hand has no patient ids, so a record is a patient of its own.
    drawn = np.concatenate(list(patient_multiplicities(records, len(records), N_RESAMPLES)), axis=1)
    weights = np.concatenate((np.ones((len(records), 1), dtype=drawn.dtype), drawn), axis=1)
    found = {}
    for row, members in results.items():
        sums: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
        for member in members:
            if list(member["records"]) != list(records):
                raise SystemExit(f"{row}, seed {member['seed']}: validated on other records than the first row")
            probabilities = 1 / (1 + np.exp(-member["logits"].astype(np.float64)))
            thresholds = {k: v for task in study.tasks for k, v in member["figures"][task]["thresholds"].items()}
            measured = weighted_metrics(member["labels"], probabilities, [thresholds[n] for n in names], weights)
            for task, own in study.tasks.items():
                columns = [names.index(name) for name in own]
                for metric in METRICS:
                    sums[task, metric].append(measured[metric][:, columns].mean(axis=1))
        found[row] = {key: np.mean(values, axis=0) for key, values in sums.items()}
    return found


def span(values: np.ndarray, sign: str = "") -> str:
    """The estimate with its 95 % interval."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return f"{values[0]:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def spread(by_seed: list[float]) -> str:
    """Standard deviation over the seeds."""
    return f" ±{np.std(by_seed, ddof=1):.3f}" if len(by_seed) > 1 else ""


def table(study: Study, against: str | None, only: list[str]) -> None:
    """Print the rows as Markdown: figures, or differences from the row `against`."""
    results = load_results(study)
    if only:
        results = {
            row: results[row] for row in dict.fromkeys([*([against] if against else []), *only]) if row in results
        }
    resampled = resample(study, results)
    whole = all(EVERY in member["figures"] for members in results.values() for member in members)
    columns = [f"AUROC {EVERY}"] * whole
    columns += [f"{title} {task}" for title in ("AUROC", "F1") for task in study.tasks]
    print(f"| row | | seeds | parameters | MMAC | s/epoch | {' | '.join(columns)} |")
    print("|---|---|--:|--:|--:|--:|" + "---|" * len(columns))
    for row, members in results.items():
        if row == against:
            continue
        cells = []
        if whole:
            own, base = ([m["figures"][EVERY]["auroc"] for m in results[name]] for name in (row, against or row))
            cells.append(f"{np.mean(own) - np.mean(base):+.3f}" if against else f"{np.mean(own):.3f}" + spread(own))
        for metric in METRICS:
            for task in study.tasks:
                values = resampled[row][task, metric]
                if against:
                    cells.append(span(values - resampled[against][task, metric], "+"))
                    continue
                by_seed = [member["figures"][task][metric] for member in members]
                fitted = ""
                if metric == "f1":
                    fitted = f"; {np.mean([m['figures'][task]['f1_cross_fitted'] for m in members]):.3f}"
                cells.append(span(values) + spread(by_seed) + fitted)
        seconds = np.mean([member["seconds"] / member["epochs"] for member in members])
        cost = f"{members[0]['parameters']:,} | {members[0]['macs'] / 1e6:.0f} | {seconds:.0f}"
        print(f"| {row} | {study.rows[row]['title']} | {len(members)} | {cost} | {' | '.join(cells)} |")


def plot(study: Study, path: Path) -> None:
    """Draw what is missing to an AUROC of 1 over MACs, both on logarithmic axes."""
    import matplotlib.pyplot as plt

    results = load_results(study)
    resampled = resample(study, results)
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), sharex=True, layout="constrained")
    for axis, (task, label) in zip(axes, (("six", "six findings"), ("super", "five superclasses")), strict=True):
        for row, members in results.items():
            about = study.rows[row]
            if "mark" not in about:
                continue
            macs = members[0]["macs"] / 1e6
            missing = 1 - resampled[row][task, "auroc"]
            low, high = np.nanpercentile(missing[1:], [2.5, 97.5])
            axis.plot([macs, macs], [low, high], color=about["mark"], alpha=0.25, linewidth=3)
            axis.plot(macs, missing[0], "o", color=about["mark"], markersize=7)
            for member in members:
                axis.plot(macs, 1 - member["figures"][task]["auroc"], ".", color="black", markersize=3)
            axis.annotate(
                about["short"],
                (macs, missing[0]),
                xytext=about.get("at", (7, 5)),
                textcoords="offset points",
                fontsize=8,
                color=about["mark"],
            )
        axis.set(xscale="log", yscale="log", xlim=(2.5, 1200), title=label)
        axis.set(xlabel="MMAC for 10 s at 100 Hz", ylabel="1 - macro AUROC, fold 9 (lower is better)")
        axis.grid(alpha=0.3, which="both")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Parse and call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run", help="train one row")
    runner.add_argument("row")
    runner.add_argument("--seed", type=int, default=0)
    runner.add_argument("--data", type=Path, required=True, help="folder of PTB-XL")
    runner.add_argument("--runs", type=Path, help="folder of the runs (default: runs/<study>)")
    tabler = verbs.add_parser("table", help="print the rows")
    tabler.add_argument("--against", metavar="ROW", help="print differences from this row")
    tabler.add_argument("--rows", nargs="*", default=[], help="only these")
    plotter = verbs.add_parser("plot", help="draw accuracy over MACs")
    plotter.add_argument("path", type=Path)
    options = parser.parse_args()
    study = Study(HERE / options.study)
    for row in {getattr(options, "row", None), getattr(options, "against", None)} - {None}:
        if row not in study.rows:
            parser.error(f"no row {row!r} in {study.folder / 'rows.yaml'}; there are {', '.join(study.rows)}")
    if options.verb == "run":
        run(study, options.row, options.seed, options.data, options.runs or Path("runs") / options.study)
    elif options.verb == "table":
        table(study, options.against, options.rows)
    else:
        plot(study, options.path)


if __name__ == "__main__":
    main()
