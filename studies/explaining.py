"""Whether `ecoscale explain` makes sense: its maps where the waves are known, on random weights, and under deletion.

    python studies/explaining.py replacements
    python studies/explaining.py stability PTB-XL --records 8
    python studies/explaining.py places --records 50 --out places.npz
    python studies/explaining.py people PTB-XL --records 20 --out people.npz
    python studies/explaining.py randomised PTB-XL --records 10
    python studies/explaining.py fibrillation --records 50
    python studies/explaining.py missing PTB-XL --records 20
    python studies/explaining.py completeness --records 20
    python studies/explaining.py plot places.npz people.npz docs/explaining-beats.svg docs/explaining-deletion.svg

Prints Markdown. Synthetic ECGs are drawn by formula (`ecoscale.datasets.synthetic`); records of PTB-XL are those of
fold 9, validation in training, in the order of its table, that show the finding and have its code. Intervals are
95 % ones of the mean, by bootstrap over records.
"""

from __future__ import annotations

import copy
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from scipy.signal import find_peaks
from scipy.stats import spearmanr

from ecoscale import Classifier, open_collection
from ecoscale.datasets.synthetic import NO_NOISE, SyntheticECG, synthetic_collection, synthetic_ecg
from ecoscale.explaining.explanation import by_step, step_samples
from ecoscale.explaining.gradients import bundled_network, integrated_gradients
from ecoscale.explaining.insertion import insertion_map
from ecoscale.explaining.occlusion import occlusion_map
from ecoscale.explaining.perturbation import STEPS_TOGETHER
from ecoscale.export import export_onnx
from ecoscale.runtime import open_runtime

PLACES = {"1dAVb": ("PR", "P", "QRS", "TQ"), "LBBB": ("QRS", "T", "P", "TQ"), "AF": ("TQ", "QRS", "T")}
"""The finding, and the parts of a beat; the first is where it shows."""
METHODS = ("occlusion", "gradients")
AROUND = np.arange(-0.48, 0.64, 0.04)
"""Beginnings of the steps around an R peak, s."""
REMOVED = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
RATE = 100.0
STEP = step_samples(RATE)

Records = Annotated[int, typer.Option(min=2, help="Records of each finding.")]
Folder = Annotated[Path, typer.Argument(help="Folder of PTB-XL.", show_default=False)]
app = typer.Typer(add_completion=False, help=__doc__.partition("\n\n")[0], rich_markup_mode=None)


class Network:
    """The default bundle's network, in float by ONNX Runtime and in torch."""

    def __init__(self) -> None:
        self.classifier = Classifier.load(precision="fp32")
        self.torch = bundled_network(self.classifier.bundle)
        self.logits = self.classifier.logits
        self.names = [label.name for label in self.classifier.labels]

    def maps(self, window: np.ndarray, finding: str) -> dict[str, np.ndarray]:
        """By each method, `(leads, steps)`: means of occlusion, sums of gradients."""
        return maps(self.logits, self.torch, window, self.names.index(finding))


def maps(logits, network, window: np.ndarray, column: int) -> dict[str, np.ndarray]:
    """The same of any network."""
    return {
        "occlusion": by_step(occlusion_map(logits, window, column, RATE), STEP) / STEP,
        "gradients": by_step(integrated_gradients(network, window, column), STEP),
    }


def span(values: list[float] | np.ndarray, digits: int = 2) -> str:
    """Mean with its interval."""
    values = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return f"{values.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def density(relevance: np.ndarray, inside: np.ndarray) -> float:
    """Share of the relevance (positive numbers) in a part of the time, over that part's share of the time."""
    profile = np.repeat(relevance.sum(axis=0), STEP)
    return float(profile[inside].sum() / profile.sum() / inside.mean())


def around_beats(relevance: np.ndarray, r_peaks: np.ndarray) -> np.ndarray:
    """Relevance by the time from R, over its mean: `(steps,)` at `AROUND`."""
    profile = relevance.sum(axis=0) / relevance.sum() * relevance.shape[1]
    steps = np.floor((r_peaks[:, None] + AROUND + 0.02) * RATE / STEP).astype(int)
    inside = (steps >= 0) & (steps < len(profile))
    values = np.where(inside, profile[np.clip(steps, 0, len(profile) - 1)], np.nan)
    return np.nanmean(values, axis=0)


def r_peaks(window: np.ndarray) -> np.ndarray:
    """Seconds at which all leads together change most, beats at least 0.3 s apart."""
    slope = np.sqrt((np.gradient(window, axis=1) ** 2).sum(axis=0))
    smooth = np.convolve(slope, np.ones(9) / 9, "same")
    found, _ = find_peaks(smooth, height=0.4 * np.percentile(smooth, 98), distance=int(0.3 * RATE))
    return found / RATE


def people_with(folder: Path, finding: str, network: Network, number: int) -> list[np.ndarray]:
    """Windows of records of fold 9 that have the finding's code and show it."""
    collection = open_collection(folder)
    labels = collection.labels([finding])[:, 0]
    chosen = collection.records.index[(labels == 1) & (collection.records["fold"].to_numpy() == 9)]
    windows = []
    for record in chosen:
        ecg = collection.read(record)
        if len(windows) < number and network.classifier.predict(ecg).findings[finding].present:
            windows.append(network.classifier.preparation.windows(ecg)[0])
    return windows


@app.command()
def replacements(records: Records = 20) -> None:
    """What each way of taking a stretch out of all leads adds to healthy synthetic ECGs: log-odds of the six."""
    from ecoscale.explaining import occlusion

    network = Network()
    length = STEP * STEPS_TOGETHER
    found: dict[str, list[float]] = {}
    sizes: dict[str, list[float]] = {}
    for made in synthetic_collection(records, findings=(), seed=11):
        window = network.classifier.preparation.windows(made.ecg)[0]
        resting = occlusion.running_median(window, 60)
        before = network.logits(window[None])[0]
        for name in (
            "zeros",
            "line between the ends",
            "baseline, cut hard",
            "baseline, faded 10 ms",
            "baseline, faded 30 ms",
        ):
            copies = []
            for first in range(0, window.shape[1] - length, STEP):
                part = slice(first, first + length)
                copy = window.copy()
                if name == "zeros":
                    copy[:, part] = 0
                elif name.startswith("line"):
                    ends = window[:, max(first - 1, 0)], window[:, min(first + length, window.shape[1] - 1)]
                    at = np.arange(1, length + 1) / (length + 1)
                    copy[:, part] = ends[0][:, None] * (1 - at) + ends[1][:, None] * at
                else:
                    taper = {"baseline, cut hard": 0, "baseline, faded 10 ms": 1}.get(name, 3)
                    weight = np.ones(length)
                    for place in range(taper):
                        weight[place] = weight[-1 - place] = np.sin(np.pi / 2 * (place + 1) / (taper + 1)) ** 2
                    copy[:, part] += weight * (resting[:, part] - window[:, part])
                copies.append(copy)
            change = network.logits(np.stack(copies).astype(np.float32)) - before
            found.setdefault(name, []).append(float(np.percentile(change.max(axis=1), 95)))
            sizes.setdefault(name, []).append(float(np.percentile(change.max(axis=1), 50)))
    print("| a stretch of 0.12 s becomes | median rise of the log-odds that rise most | 95th percentile |")
    print("|---|--:|--:|")
    for name in found:
        print(f"| {name} | {span(sizes[name])} | {span(found[name])} |")


@app.command()
def stability(folder: Folder, records: Records = 8) -> None:
    """How occlusion maps depend on the orders of the leads and on integers, and what they cost."""
    network, integers = Network(), Classifier.load(precision="int8")
    print("| finding | records | other orders | share of a lead | int8 | int8, all leads | passes | seconds |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for finding in PLACES:
        column, rows = network.names.index(finding), []
        for window in people_with(folder, finding, network, records):
            passes = 0

            def counted(windows: np.ndarray) -> np.ndarray:
                nonlocal passes
                passes += len(windows)
                return network.logits(windows)

            began = time.perf_counter()
            one = _stepped(counted, window, column)
            seconds, own = time.perf_counter() - began, passes
            other = _stepped(network.logits, window, column, seed=1)
            rounded = _stepped(integers.logits, window, column)
            shares = [np.clip(each, 0, None).sum(axis=1) / np.clip(each, 0, None).sum() for each in (one, other)]
            alike = [_correlation(one, each) for each in (other, rounded)]
            together = _correlation(one.sum(axis=0), rounded.sum(axis=0))
            rows.append((alike[0], np.abs(shares[0] - shares[1]).max(), alike[1], together, own, seconds))
        orders, share, rounding, together, own, seconds = np.array(rows).T
        print(
            f"| {finding} | {len(rows)} | {span(orders)} | {span(share, 3)} | {span(rounding)} | {span(together)} | "
            f"{own.min():,.0f} to {own.max():,.0f} | {np.median(seconds):.1f} |",
            flush=True,
        )


def _stepped(logits, window: np.ndarray, column: int, seed: int = 0) -> np.ndarray:
    return by_step(occlusion_map(logits, window, column, RATE, seed=seed), STEP)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@app.command()
def places(records: Records = 50, out: Annotated[Path | None, typer.Option(help="Profiles, for plot.")] = None) -> None:
    """Density of the relevance in each part of the beats of synthetic ECGs; 1 is that of all of the time."""
    network, profiles = Network(), {}
    print("| finding | method | part | share of time | density of all relevance | density of what speaks for it |")
    print("|---|---|---|--:|--:|--:|")
    for finding, parts in PLACES.items():
        rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        for made in synthetic_collection(records, findings=(finding,), seed=7):
            window = network.classifier.preparation.windows(made.ecg)[0]
            times = np.arange(window.shape[1]) / RATE
            for method, found in network.maps(window, finding).items():
                profiles.setdefault(f"{finding} {method}", []).append(around_beats(np.abs(found), made.r_peaks))
                for part in parts:
                    inside = made.during(part, times)
                    figures = density(np.abs(found), inside), density(np.clip(found, 0, None), inside)
                    rows.setdefault((method, part), []).append((inside.mean(), *figures))
        for method in METHODS:
            for part in parts:
                shares, every, supporting = np.array(rows[method, part]).T
                mark = "**" if part == parts[0] else ""
                print(
                    f"| {finding} | {method} | {mark}{part}{mark} | {100 * shares.mean():.0f} % | {span(every)} | "
                    f"{span(supporting)} |",
                    flush=True,
                )
    if out:
        np.savez(out, **{key: np.array(values) for key, values in profiles.items()})


@app.command()
def people(
    folder: Folder, records: Records = 20, out: Annotated[Path | None, typer.Option(help="Profiles, for plot.")] = None
) -> None:
    """Deletion on records of PTB-XL: log-odds lost when steps are removed, those with most relevance first."""
    network, stored = Network(), {}
    print("| finding | method | records | order | log-odds lost with 2 % removed | 10 % | 30 % |")
    print("|---|---|--:|---|--:|--:|--:|")
    for finding in PLACES:
        column = network.names.index(finding)
        lost: dict[tuple[str, str], list[np.ndarray]] = {}
        for number, window in enumerate(people_with(folder, finding, network, records)):
            for method, found in network.maps(window, finding).items():
                profile = around_beats(np.abs(found), r_peaks(window))
                stored.setdefault(f"{finding} {method}", []).append(profile)
                orders = {
                    "most relevant first": np.argsort(-found, axis=None),
                    "random": np.random.default_rng(number).permutation(found.size),
                    "least relevant first": np.argsort(np.abs(found), axis=None),
                }
                for name, order in orders.items():
                    curve = deletion(network.logits, window, column, order, found.shape)
                    lost.setdefault((method, name), []).append(curve)
                    stored.setdefault(f"{finding} {method} {name}", []).append(curve)
        for (method, name), curves in lost.items():
            at = {share: np.array(curves)[:, REMOVED.index(share)] for share in (0.02, 0.1, 0.3)}
            cells = " | ".join(span(values) for values in at.values())
            print(f"| {finding} | {method} | {len(curves)} | {name} | {cells} |", flush=True)
    if out:
        np.savez(out, **{key: np.array(values) for key, values in stored.items()})


def deletion(logits, window: np.ndarray, column: int, order: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Log-odds lost at each share of `REMOVED`: steps of leads are missing, and filled as missing samples are."""
    copies = [window]
    for share in REMOVED:
        gone = np.zeros(shape, dtype=bool)
        gone.flat[order[: round(share * gone.size)]] = True
        gone = np.repeat(gone, STEP, axis=1)
        copy = window.copy()
        for row, missing in zip(copy, gone, strict=True):
            if missing.all():
                row[:] = 0
            else:
                row[missing] = np.interp(np.flatnonzero(missing), np.flatnonzero(~missing), row[~missing])
        copies.append(copy)
    found = logits(np.stack(copies))[:, column]
    return found[0] - found[1:]


@app.command()
def randomised(folder: Folder, records: Records = 10) -> None:
    """Likeness of the maps of the trained network and of the same with random weights, on records of PTB-XL."""
    network = Network()
    prepared = {finding: people_with(folder, finding, network, records) for finding in PLACES}
    trained = {finding: [network.maps(window, finding) for window in windows] for finding, windows in prepared.items()}
    print("| random weights | method | rank correlation | of magnitudes | SSIM | records |")
    print("|---|---|--:|--:|--:|--:|")
    example = np.concatenate([np.stack(windows[:2]) for windows in prepared.values()])
    stages = {"the head": _head, "the head and the second half": partial(_from, 0.5), "all": partial(_from, 0.0)}
    for name, choose in stages.items():
        other = copy.deepcopy(network.torch)
        torch.manual_seed(0)
        _randomise(other, choose)
        rows: dict[str, list[tuple[float, float, float]]] = {method: [] for method in METHODS}
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "random.onnx"
            path.write_bytes(export_onnx(other, example).onnx)
            runtime = open_runtime(path, "fp32", 1)
            for finding, windows in prepared.items():
                column = network.names.index(finding)
                for window, before in zip(windows, trained[finding], strict=True):
                    after = maps(runtime.logits, other, window, column)
                    for method in METHODS:
                        rows[method].append(likeness(before[method], after[method]))
        for method, values in rows.items():
            signed, magnitudes, ssim = np.array(values).T
            print(
                f"| {name} | {method} | {span(signed)} | {span(magnitudes)} | {span(ssim)} | {len(values)} |",
                flush=True,
            )


def _head(names: list[str]) -> set[str]:
    return {name for name in names if name == "head"}


def _from(share: float, names: list[str]) -> set[str]:
    return set(names[int(share * len(names)) :])


def _randomise(network: torch.nn.Module, choose) -> None:
    """Weights drawn anew as at the start of training, in the layers that are chosen among all in their order."""
    layers = {name: layer for name, layer in network.named_modules() if hasattr(layer, "reset_parameters")}
    for name in choose(list(layers)):
        layer = layers[name]
        if isinstance(layer, torch.nn.BatchNorm1d):
            # Its statistics are of activations that are no more; without new ones the output would be constant.
            torch.nn.init.ones_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        else:
            layer.reset_parameters()


def likeness(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Rank correlation of values, of magnitudes, and structural similarity of the magnitudes over their largest."""
    a, b = (np.abs(each) / (np.abs(each).max() or 1) for each in (one, other))
    return float(spearmanr(one, other, axis=None)[0]), float(spearmanr(a, b, axis=None)[0]), _ssim(a, b)


def _ssim(a: np.ndarray, b: np.ndarray, width: int = 7) -> float:
    """Wang et al. 2004 in windows of a lead and seven steps, both in 0 to 1."""
    a, b = (np.lib.stride_tricks.sliding_window_view(each, width, axis=1) for each in (a, b))
    mean_a, mean_b = a.mean(axis=-1), b.mean(axis=-1)
    covariance = (a * b).mean(axis=-1) - mean_a * mean_b
    small, smaller = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + small) * (2 * covariance + smaller)
    return float((alike / ((mean_a**2 + mean_b**2 + small) * (a.var(axis=-1) + b.var(axis=-1) + smaller))).mean())


@app.command()
def fibrillation(records: Records = 50) -> None:
    """AF's log-odds in synthetic ECGs when one part of all beats is flat at once, and with P waves put in."""
    network = Network()
    column, prepare = network.names.index("AF"), network.classifier.preparation.windows
    found: dict[str, list[float]] = {}

    def add(name: str, window: np.ndarray) -> None:
        found.setdefault(name, []).append(float(network.logits(window[None])[0, column]))

    for number, made in enumerate(synthetic_collection(records, findings=("AF",), seed=7)):
        window = prepare(made.ecg)[0]
        add("AF, as it is", window)
        for part in ("TQ", "T", "QRS"):
            add(f"AF, {part} flat", _flat(window, made, part))
        sinus = synthetic_ecg((), noise=NO_NOISE, seed=number)
        waves = prepare(sinus.ecg)[0] - _flat(prepare(sinus.ecg)[0], sinus, "P")
        first = int(np.ceil((sinus.qrs_onsets[2] - sinus.heart.pr_interval) * RATE))
        wave = waves[:, first : first + 10]
        with_waves = _flat(window, made, "TQ")
        for onset in made.qrs_onsets:
            begin = round((onset - sinus.heart.pr_interval) * RATE)
            if begin >= 0:
                with_waves[:, begin : begin + 10] += wave
        add("AF, TQ flat but for a P wave before each QRS", with_waves)
    for made in synthetic_collection(records, findings=(), seed=7):
        window = prepare(made.ecg)[0]
        add("healthy, as it is", window)
        add("healthy, P flat", _flat(window, made, "P"))
    print("| synthetic ECG | log-odds of AF |")
    print("|---|--:|")
    for name, values in found.items():
        print(f"| {name} | {span(values)} |")


def _flat(window: np.ndarray, made: SyntheticECG, part: str) -> np.ndarray:
    """A part of all beats replaced by lines between what is around."""
    inside = made.during(part, np.arange(window.shape[1]) / RATE)
    flat = window.copy()
    for row in flat:
        row[inside] = np.interp(np.flatnonzero(inside), np.flatnonzero(~inside), row[~inside])
    return flat


@app.command()
def missing(folder: Folder, records: Records = 20) -> None:
    """Density of the insertion maps of AF: parts of synthetic beats, and times before R on records of PTB-XL."""
    network = Network()
    column, preparation = network.names.index("AF"), network.classifier.preparation

    def mapped(window: np.ndarray) -> np.ndarray:
        return np.clip(by_step(insertion_map(network.logits, window, column, preparation), STEP), 0, None)

    print("| AF | part | share of time | density of what speaks for it |")
    print("|---|---|--:|--:|")
    rows: dict[str, list[tuple[float, float]]] = {}
    for made in synthetic_collection(records, findings=("AF",), seed=7):
        window = preparation.windows(made.ecg)[0]
        found, times = mapped(window), np.arange(window.shape[1]) / RATE
        before = (((times[:, None] - made.beats) >= -0.2) & ((times[:, None] - made.beats) < 0)).any(axis=1)
        parts = {"TQ": made.during("TQ", times), "0.2 s before QRS": before & made.during("TQ", times)}
        for part, inside in (parts | {part: made.during(part, times) for part in ("QRS", "T")}).items():
            rows.setdefault(part, []).append((inside.mean(), density(found, inside)))
    for part, values in rows.items():
        shares, densities = np.array(values).T
        print(f"| synthetic | {part} | {100 * shares.mean():.0f} % | {span(densities)} |", flush=True)
    profiles = [around_beats(mapped(window), r_peaks(window)) for window in people_with(folder, "AF", network, records)]
    for name, first, last in (("0.24 to 0.08 s before R", -0.24, -0.08), ("0.04 s to both sides of R", -0.04, 0.04)):
        inside = np.abs(AROUND - (first + last - 0.04) / 2) < (last - first) / 2
        values = np.array(profiles)[:, inside].mean(axis=1)
        print(f"| PTB-XL, {len(values)} records | {name} | | {span(values)} |")


@app.command()
def completeness(records: Records = 20) -> None:
    """What the sum over a path's points leaves of the difference of log-odds, in synthetic ECGs."""
    network, counts = Network(), (16, 32, 64, 128)
    print("| finding | difference | " + " | ".join(f"left by {count} points" for count in counts) + " |")
    print("|---|--:|" + "--:|" * len(counts))
    for finding in PLACES:
        column, rows = network.names.index(finding), []
        for made in synthetic_collection(records, findings=(finding,), seed=7):
            window = network.classifier.preparation.windows(made.ecg)[0]
            with torch.inference_mode():
                ends = network.torch(torch.from_numpy(np.stack([window, np.zeros_like(window)])))[:, column].numpy()
            sums = [integrated_gradients(network.torch, window, column, count).sum() for count in counts]
            rows.append([ends[0] - ends[1], *(abs(ends[0] - ends[1] - each) for each in sums)])
        difference, *left = np.array(rows).T
        cells = " | ".join(f"{np.median(each):.3f}, at most {each.max():.3f}" for each in left)
        print(f"| {finding} | {difference.mean():.2f} | {cells} |", flush=True)


@app.command()
def plot(places: Path, people: Path, beats: Path, curves: Path) -> None:
    """Draw relevance around the beats, and the deletion curves."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "ecoscale"
    colours = {"occlusion": "#0b4f8a", "gradients": "#b3541e"}
    synthetic, real = np.load(places), np.load(people)
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey="row")
    for row, (source, title) in zip(axes, ((synthetic, "synthetic"), (real, "PTB-XL, fold 9")), strict=True):
        for axis, finding in zip(row, PLACES, strict=True):
            for method, style in zip(METHODS, ("-", "--"), strict=True):
                values = source[f"{finding} {method}"]
                mean, error = np.nanmean(values, axis=0), np.nanstd(values, axis=0) / np.sqrt(len(values))
                axis.fill_between(
                    AROUND + 0.02, mean - 1.96 * error, mean + 1.96 * error, color=colours[method], alpha=0.2
                )
                axis.plot(AROUND + 0.02, mean, style, color=colours[method], label=method)
            axis.axhline(1, color="grey", linewidth=0.6)
            axis.set_title(f"{finding}, {title} (n = {len(values)})", fontsize=9)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("relevance over its mean")
    for axis in axes[-1]:
        axis.set_xlabel("seconds from R")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(beats, metadata={"Date": None})
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey="col")
    for row, method in zip(axes, METHODS, strict=True):
        for axis, finding in zip(row, PLACES, strict=True):
            for order, style in (("most relevant first", "-"), ("random", ":"), ("least relevant first", "--")):
                values = real[f"{finding} {method} {order}"]
                mean, error = values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))
                shares = 100 * np.array(REMOVED)
                axis.fill_between(shares, mean - 1.96 * error, mean + 1.96 * error, color=colours[method], alpha=0.15)
                axis.plot(shares, mean, style, color=colours[method], label=order)
            axis.set(title=f"{finding}, {method} (n = {len(values)})", xscale="log")
            axis.axhline(0, color="grey", linewidth=0.6)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("log-odds lost")
    for axis in axes[-1]:
        axis.set_xlabel("% of all steps of leads removed")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(curves, metadata={"Date": None})


if __name__ == "__main__":
    torch.set_num_threads(1)  # on a machine that others use too, threads would wait for each other
    app()
