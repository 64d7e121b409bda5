"""EcoScale-Net, OS-CNN and the ROCKET family on the UCR and UEA sets that aeon carries, on their official splits.

    python studies/ucr.py pack ucr.npz                                   # the sets, for a machine without aeon
    python studies/ucr.py run test results.jsonl --seeds 10              # every network, trained and asked
    python studies/ucr.py run folds folds.jsonl --networks 'ecoscale*'   # cross-validation on the training parts
    python studies/ucr.py costs costs.json                               # seconds on this processor, in one process
    python studies/ucr.py table results.jsonl --costs costs.json         # the tables of docs/series.md

`run` writes a line of JSON for each set, network and seed as soon as it is done, and goes on where a file ends. What
was chosen of networks and training was chosen on `folds`: the training parts of the seven sets, and two sets whose
test parts are not in the tables.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

HERE = Path(__file__).parent / "ucr"
SETS = ("GunPoint", "ArrowHead", "ItalyPowerDemand", "OSULeaf", "ACSF1", "BasicMotions", "JapaneseVowels")
DEVELOPMENT_SETS = ("PickupGestureWiimoteZ", "UnitTest")
"""Both parts of these are for choosing."""
N_FOLDS = 3


@dataclass(frozen=True)
class Part:
    """Series, `(cases, channels, samples)` or a `(channels, samples)` each, and their classes."""

    series: Any
    classes: np.ndarray

    @property
    def n_channels(self) -> int:
        """Of a series."""
        return self.series[0].shape[0]

    @property
    def longest(self) -> int:
        """Samples of the longest series."""
        return max(case.shape[-1] for case in self.series)

    def take(self, cases: np.ndarray) -> Part:
        """Some of the cases."""
        series = [self.series[case] for case in cases] if isinstance(self.series, list) else self.series[cases]
        return Part(series, self.classes[cases])


@cache
def load(name: str, part: str, packed: Path | None) -> Part:
    """A part of a set, from aeon or from a file that `pack` made."""
    if packed is None:
        from aeon.datasets import load_classification

        series, classes = load_classification(name, split=part)
        return Part(series, np.asarray(classes))
    with np.load(packed, allow_pickle=False) as arrays:
        values, lengths = arrays[f"{name}/{part}/series"], arrays[f"{name}/{part}/lengths"]
        classes = arrays[f"{name}/{part}/classes"]
    values = values.astype(np.float64)
    if (lengths == lengths[0]).all():
        return Part(values, classes)
    return Part([case[:, :length] for case, length in zip(values, lengths, strict=True)], classes)


def filled_up(*parts: Part) -> tuple[Part, ...]:
    """Zeros after the shorter series, for methods that take series of one length alone."""
    longest = max(part.longest for part in parts)
    return tuple(
        Part(np.stack([np.pad(case, ((0, 0), (0, longest - case.shape[-1]))) for case in part.series]), part.classes)
        for part in parts
    )


def pack(path: Path) -> None:
    """Write all sets into one file."""
    arrays = {}
    for name in (*SETS, *DEVELOPMENT_SETS):
        for part in ("train", "test"):
            own = load(name, part, None)
            lengths = np.array([case.shape[-1] for case in own.series])
            values = np.zeros((len(lengths), own.n_channels, lengths.max()), np.float32)
            for row, case in zip(values, own.series, strict=True):
                row[:, : case.shape[-1]] = case
            arrays |= {f"{name}/{part}/series": values, f"{name}/{part}/lengths": lengths}
            arrays[f"{name}/{part}/classes"] = own.classes.astype(str)
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def classifier(row: dict[str, Any], part: Part, seed: int, device: str) -> Any:
    """The classifier that a row describes, for series of a part.

    Beside parameters, a row of ours may give the receptive field as a `receptive_share` of the length.
    """
    options = dict(row)
    kind = options.pop("kind")
    if kind in ("EcoScaleClassifier", "OmniScaleClassifier"):
        import ecoscale

        if kind == "OmniScaleClassifier":
            # The same function, computed in the way that is quickest at the length on a processor.
            spectra = isinstance(part.series, np.ndarray) and part.longest > 300
            options["network_options"] = {"method": "fourier" if spectra else "masked"}
        if (share := options.pop("receptive_share", None)) is not None:
            options["receptive_field"] = math.ceil(share * part.longest)
        return getattr(ecoscale, kind)(random_state=seed, device=device, **options)
    from aeon.classification import convolution_based

    return getattr(convolution_based, kind)(random_state=seed, **options)


@dataclass(frozen=True)
class Job:
    """One row on one set with one seed."""

    part: str
    set: str
    row: str
    seed: int

    def weight(self) -> float:
        """Which jobs take longest: those begin first."""
        sizes = {"ACSF1": 9, "OSULeaf": 8, "JapaneseVowels": 7, "PickupGestureWiimoteZ": 5}
        return sizes.get(self.set, 1) + (10 if "oscnn" in self.row else 0)


def done(path: Path) -> list[dict]:
    """The lines of a file that are whole."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def work(job: Job, row: dict[str, Any], packed: Path | None, device: str) -> dict:
    """Train and ask; on `folds`, once for each part of the cases that is left out."""
    import torch

    torch.set_num_threads(1)
    train = load(job.set, "train", packed)
    test = load(job.set, "test", packed)
    if job.part == "folds":
        from sklearn.model_selection import StratifiedKFold

        if job.set in DEVELOPMENT_SETS:
            series = [*train.series, *test.series]
            lengths = {case.shape[-1] for case in series}
            series = np.stack(series) if len(lengths) == 1 else series
            train = Part(series, np.concatenate((train.classes, test.classes)))
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=job.seed)
        pairs = [(train.take(a), train.take(b)) for a, b in folds.split(train.classes, train.classes)]
    else:
        pairs = [(train, test)]
    if "Rocket" in row["kind"]:
        pairs = [filled_up(*pair) for pair in pairs]
    right, total, answers, seconds = 0, 0, [], [0.0, 0.0]
    for fitted_to, asked in pairs:
        model = classifier(row, fitted_to, job.seed, device)
        began = time.process_time()
        model.fit(fitted_to.series, fitted_to.classes)
        fitted = time.process_time()
        found = model.predict(asked.series)
        ended = time.process_time()
        seconds = [seconds[0] + fitted - began, seconds[1] + ended - fitted]
        answers += np.searchsorted(np.unique(train.classes), found).tolist()
        right += int((found == asked.classes).sum())
        total += len(found)
    result = {
        "part": job.part,
        "set": job.set,
        "row": job.row,
        "seed": job.seed,
        "accuracy": right / total,
        "fit_seconds": round(seconds[0], 3),
        "predict_seconds": round(seconds[1], 4),
        "device": device,
    }
    if hasattr(model, "network_"):
        from ecoscale.complexity import measure_complexity

        cost = measure_complexity(model.network_, train.n_channels, train.longest)
        result |= {"parameters": cost.parameters, "macs": cost.macs}
    if job.part == "test":
        result["answers"] = answers
    return result


def run(jobs: list[Job], rows: dict, path: Path, packed: Path | None, places: dict[str, int], limit: float) -> None:
    """Do what is not in the file yet, for at most `limit` seconds, by so many processes on each device.

    OS-CNN is left to the graphics card where there is one; all else goes wherever a process is free.
    """
    began = time.monotonic()
    had = {(line["part"], line["set"], line["row"], line["seed"]) for line in done(path)}
    jobs = [job for job in jobs if (job.part, job.set, job.row, job.seed) not in had]
    jobs.sort(key=lambda job: (job.seed, -job.weight()))
    total, count, failed = len(jobs), 0, 0
    print(f"{len(had)} done, {total} to do", flush=True)
    context = multiprocessing.get_context("spawn")
    pools = {device: ProcessPoolExecutor(n, mp_context=context) for device, n in places.items()}
    only = max(places, key=lambda device: device != "cpu")
    running: dict[Future, tuple[Job, str]] = {}

    def start(device: str) -> None:
        own = [job for job in jobs if device == only or "oscnn" not in job.row]
        if device == only:
            own.sort(key=lambda job: (job.seed, "oscnn" not in job.row))
        if own:
            jobs.remove(own[0])
            running[pools[device].submit(work, own[0], rows[own[0].row], packed, device)] = (own[0], device)

    for device, processes in places.items():
        for _ in range(processes):
            start(device)
    with path.open("a") as stream:
        while running and time.monotonic() - began < limit:
            ready, _ = wait(running, timeout=limit - (time.monotonic() - began), return_when=FIRST_COMPLETED)
            for future in ready:
                job, device = running.pop(future)
                count += 1
                start(device)
                if (error := future.exception()) is not None:
                    failed += 1
                    print(f"{job}: {error!r}", flush=True)
                    continue
                line = future.result()
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                print(
                    f"{time.monotonic() - began:5.0f} s {count}/{total} {device} {job.row} {job.set} {job.seed}: "
                    f"{line['accuracy']:.3f} in {line['fit_seconds']:.1f} s",
                    flush=True,
                )
    for pool in pools.values():
        processes = list(pool._processes.values())
        pool.shutdown(wait=not running, cancel_futures=True)
        if running:
            for process in processes:
                process.kill()
    print(f"{count} of {total} done, {failed} failed, {len(running)} stopped")


def costs(path: Path, rows: dict[str, dict[str, Any]], packed: Path | None, batches: int, turns: int) -> None:
    """Measure the processor seconds that training and predicting take, in one process with one thread, and write them.

    Of a network's 300 batches about `batches` are trained on and scaled up. The quickest of `turns` counts, after a
    first that compiles and fills caches; `fit_slowest` beside it says how much the machine shakes.
    """
    import torch

    torch.set_num_threads(1)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in SETS:
        train, test = load(name, "train", packed), load(name, "test", packed)
        for row, options in rows.items():
            own, ours = (train, test), "Rocket" not in options["kind"]
            if not ours:
                own = filled_up(*own)
            fits, asks = [], []
            for turn in range(1 + turns):
                model = classifier(options, own[0], 0, "cpu")
                scale = 1.0
                if ours:
                    passes = -(-batches // -(-len(own[0].classes) // 16))
                    scale = 300 / (passes * -(-len(own[0].classes) // 16))
                    model.set_params(n_epochs=passes)
                began = time.process_time()
                model.fit(own[0].series, own[0].classes)
                fitted = time.process_time()
                model.predict(own[1].series)
                if turn:  # the first compiles, or fills caches
                    fits.append((fitted - began) * scale)
                    asks.append(time.process_time() - fitted)
            found.setdefault(name, {})[row] = {"fit": min(fits), "predict": min(asks), "fit_slowest": max(fits)}
            print(name, row, found[name][row], flush=True)
            path.write_text(json.dumps(found, indent=1))


def correct(lines: list[dict], row: str, name: str, truth: np.ndarray) -> np.ndarray:
    """`(seeds, cases)`: which test cases a row has right."""
    own = [line for line in lines if line["row"] == row and line["set"] == name]
    answers = [line["answers"] for line in sorted(own, key=lambda line: line["seed"])]
    return np.array(answers).reshape(-1, len(truth)) == truth


def table(lines: list[dict], seconds: dict, packed: Path | None, n_resamples: int = 2000) -> None:
    """Print the tables of docs/series.md."""
    from scipy.stats import rankdata, wilcoxon

    rows = list(dict.fromkeys(line["row"] for line in lines))
    right: dict[str, dict[str, np.ndarray]] = {row: {} for row in rows}
    for name in SETS:
        test = load(name, "test", packed)
        train = load(name, "train", packed)
        truth = np.searchsorted(np.unique(train.classes), test.classes)
        for row in rows:
            if (own := correct(lines, row, name, truth)).size:
                right[row][name] = own
    print(f"| set | {' | '.join(rows)} |\n|---|{'--:|' * len(rows)}")
    for name in SETS:
        print(f"| {name} | {' | '.join(in_words(right[row].get(name)) for row in rows)} |")
    means = {row: np.mean([own.mean() for own in right[row].values()]) for row in rows if len(right[row]) == len(SETS)}
    print(f"| **mean** | {' | '.join(f'{100 * means[row]:.1f}' if row in means else '' for row in rows)} |")
    if means:
        every = np.array([[right[row][name].mean() for row in means] for name in SETS])
        ranks = dict(zip(means, rankdata(-every.round(6), axis=1).mean(axis=0), strict=True))
        print(f"| average rank | {' | '.join(f'{ranks[row]:.2f}' if row in ranks else '' for row in rows)} |")

    print("\necoscale less each other, points of mean accuracy; paired bootstrap over test cases")
    for row in rows:
        sets = [name for name in SETS if name in right[row] and name in right["ecoscale"]]
        if row == "ecoscale" or len(sets) < 2:
            continue
        pairs = [[right[own][name].mean(axis=0) for own in ("ecoscale", row)] for name in sets]
        generator = np.random.default_rng(0)
        drawn = [
            np.mean([(ours - theirs)[generator.integers(len(ours), size=len(ours))].mean() for ours, theirs in pairs])
            for _ in range(n_resamples)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5])
        differences = np.array([ours.mean() - theirs.mean() for ours, theirs in pairs])
        print(
            f"- {row}: {100 * differences.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) on {len(sets)} sets; "
            f"Wilcoxon over sets p = {wilcoxon(differences).pvalue:.2f}"
        )

    print("\n| set | parameters | of OS-CNN | MACs, millions | of OS-CNN | as many times |\n|---|--:|--:|--:|--:|--:|")
    for name in SETS:
        cost = {line["row"]: line for line in lines if line["set"] == name and "macs" in line}
        if {"ecoscale", "oscnn"} <= set(cost):
            ours, theirs = cost["ecoscale"], cost["oscnn"]
            print(
                f"| {name} | {ours['parameters']:,} | {theirs['parameters']:,} | {ours['macs'] / 1e6:.2f} | "
                f"{theirs['macs'] / 1e6:.1f} | {theirs['macs'] / ours['macs']:.0f} |"
            )
    for what in ("fit", "predict"):
        print(f"\n{what}, seconds of one core\n| set | {' | '.join(rows)} |\n|---|{'--:|' * len(rows)}")
        for name, own in seconds.items():
            print(f"| {name} | {' | '.join(f'{own[row][what]:.2f}' if row in own else '' for row in rows)} |")


def in_words(right: np.ndarray | None) -> str:
    """Accuracy in per cent, its deviation over seeds, and how many seeds."""
    if right is None:
        return ""
    own = 100 * right.mean(axis=1)
    return f"{own.mean():.1f}" + (f" ± {own.std(ddof=1):.1f}" if len(own) > 1 else "") + f" ({len(own)})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("path", type=Path)
    running = commands.add_parser("run")
    running.add_argument("part", choices=("test", "folds"))
    running.add_argument("path", type=Path)
    running.add_argument("--networks", nargs="+", default=["*"], help="shell patterns of rows")
    running.add_argument("--rows", type=Path, default=HERE / "rows.yaml", help="the rows, each a classifier")
    running.add_argument("--sets", nargs="+")
    running.add_argument("--seeds", type=int, default=5)
    running.add_argument("--first-seed", type=int, default=0)
    running.add_argument("--data", type=Path, help="a file that pack made; aeon's own without")
    running.add_argument("--places", nargs="+", default=["cpu:1"], help="devices, each with a number of processes")
    running.add_argument("--limit", type=float, default=86400, help="seconds")
    costing = commands.add_parser("costs")
    costing.add_argument("path", type=Path)
    costing.add_argument("--data", type=Path)
    costing.add_argument("--networks", nargs="+", default=["*"])
    costing.add_argument("--batches", type=int, default=20)
    costing.add_argument("--turns", type=int, default=2)
    tabling = commands.add_parser("table")
    tabling.add_argument("results", type=Path, nargs="*", default=[HERE / "results.jsonl"])
    tabling.add_argument("--costs", type=Path, default=HERE / "costs.json")
    tabling.add_argument("--data", type=Path)
    given = parser.parse_args()
    if given.command == "pack":
        pack(given.path)
    elif given.command == "costs":
        rows = yaml.safe_load((HERE / "rows.yaml").read_text())
        rows = {row: own for row, own in rows.items() if any(fnmatch.fnmatch(row, one) for one in given.networks)}
        costs(given.path, rows, given.data, given.batches, given.turns)
    elif given.command == "table":
        lines = [line for path in given.results for line in done(path)]
        table(lines, json.loads(given.costs.read_text()) if given.costs.exists() else {}, given.data)
    elif given.command == "run":
        rows = yaml.safe_load(given.rows.read_text())
        names = [row for row in rows if any(fnmatch.fnmatch(row, pattern) for pattern in given.networks)]
        sets = given.sets or (SETS if given.part == "test" else (*SETS, *DEVELOPMENT_SETS))
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        jobs = [Job(given.part, name, row, seed) for seed in seeds for row in names for name in sets]
        places = {device: int(n) for device, n in (place.rsplit(":", 1) for place in given.places)}
        run(jobs, rows, given.path, given.data, places, given.limit)


if __name__ == "__main__":
    main()
