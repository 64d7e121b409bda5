"""A comparison as tables, as a page, as CSV and as a plot: one set of rows for the terminal and the page."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ecoscale.datasets import list_collections
from ecoscale.evaluation import MACRO, SEED_METRICS
from ecoscale.evaluation.metrics import decimals
from ecoscale.evaluation.plots import draw_over_cost
from ecoscale.evaluation.report import with_interval
from ecoscale.findings import DISCLAIMER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecoscale.evaluation import Difference, Interval, OverSeeds, SeedComparison
    from ecoscale.reproduction.comparison import Comparison


@dataclass(frozen=True)
class TableOf:
    """A table in words; the first column is of names."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def markdown(self) -> str:
        """With pipes."""
        rule = ("---", *["--:"] * (len(self.head) - 1))
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows))


def tables(comparison: Comparison) -> list[TableOf]:
    """Every table of a comparison."""
    found = [_networks(comparison), _by_finding(comparison.test, "Test part")]
    if comparison.test.differences:
        found += [_against(comparison), _differences_by_finding(comparison)]
    if comparison.external is not None:
        found.append(_external(comparison, comparison.external))
    return found


def reading(comparison: Comparison) -> str:
    """Which baseline the published reductions can be of, in words."""
    claims, networks = comparison.protocol.claims, comparison.protocol.networks
    fitting = [name for name, reduction in comparison.reductions.items() if reduction.fits]
    each = "; ".join(
        f"{networks[name].title}: {_percent(reduction.parameters)} parameters, {_percent(reduction.flops)} FLOPs"
        for name, reduction in comparison.reductions.items()
    )
    verdict = (
        f"to a point, only {' and '.join(networks[name].title for name in fitting)} fits" if fitting else "none fits"
    )
    return (
        f"Which baseline can be meant: published are {_percent(claims.parameters)} parameters and "
        f"{_percent(claims.flops)} FLOPs. {networks[claims.network].title} has, at the protocol's sizes, against "
        f"{each}. So {verdict}."
    )


def _networks(comparison: Comparison) -> TableOf:
    rows = []
    for name, network in comparison.networks.items():
        f1, auroc = (comparison.test.networks[name][metric][MACRO] for metric in SEED_METRICS)
        minutes = sum(network.seconds) / len(network.seconds) / 60
        rows.append(
            (
                name,
                f"{network.title} (ours)" if network.ours else network.title,
                str(len(network.seeds)),
                f"{network.parameters:,}",
                f"{network.macs / 1e9:.3f}",
                f"{2 * network.macs / 1e9:.3f}",
                _over_seeds(f1),
                _over_seeds(auroc),
                f"{minutes:.1f}",
            )
        )
    head = (
        "network",
        "what it is",
        "seeds",
        "parameters",
        "GMAC",
        "GFLOP",
        "macro F1",
        "macro AUROC",
        "minutes a seed",
    )
    return TableOf("Networks", head, tuple(rows))


def _by_finding(of: SeedComparison, title: str) -> TableOf:
    rows: list[tuple[str, ...]] = [("positives", *(f"{of.positives[name]:,}" for name in of.names), "")]
    for network, figures in of.networks.items():
        rows.append(
            (
                network,
                *(_spread(figures["f1"][name]) for name in (*of.names, MACRO)),
            )
        )
    counted = f"{of.n_records:,} records of {of.n_patients:,} patients"
    return TableOf(f"{title}: F1 by finding ({counted})", ("network", *of.names, MACRO), tuple(rows))


def _against(comparison: Comparison) -> TableOf:
    claims, rows = comparison.protocol.claims, []
    for first, second, difference in _pairs(comparison.test):
        one, other = comparison.networks[first], comparison.networks[second]
        f1 = difference["f1"][MACRO]
        below = comparison.test.networks[second]["f1"][MACRO].mean
        rows.append(
            (
                f"{first} - {second}",
                _percent(100 * (one.parameters / other.parameters - 1)),
                _percent(100 * (one.macs / other.macs - 1)),
                _points(f1.patients),
                "-" if f1.patients_and_seeds is None else _points(f1.patients_and_seeds),
                _percent(100 * f1.mean / below) if below else "-",
            )
        )
    f1 = (f"{claims.f1:+g} if points", "", f"{claims.f1:+g} % if relative")
    rows.append(("published", _percent(claims.parameters), _percent(claims.flops), *f1))
    head = ("difference", "parameters", "FLOPs", "macro F1, points: patients", "patients and seeds", "relative")
    return TableOf("Against the baselines", head, tuple(rows))


def _differences_by_finding(comparison: Comparison) -> TableOf:
    names = (*comparison.test.names, MACRO)
    rows = []
    for first, second, difference in _pairs(comparison.test):
        rows.append((f"{first} - {second}", *(_points(_widest(difference["f1"][name])) for name in names)))
    return TableOf("Differences of F1 by finding, points, over patients and seeds", ("difference", *names), tuple(rows))


def _external(comparison: Comparison, of: SeedComparison) -> TableOf:
    about = comparison.protocol.external
    assert about is not None
    table = _by_finding(of, list_collections()[about.collection].title)
    reference = [about.f1[name] for name in of.names]
    row = (about.reference, *(decimals(f1) for f1 in reference), decimals(sum(reference) / len(reference)))
    return TableOf(table.title, table.head, (*table.rows, row))


def _pairs(of: SeedComparison) -> list[tuple[str, str, dict[str, dict[str, Difference]]]]:
    return [
        (first, second, difference) for first, others in of.differences.items() for second, difference in others.items()
    ]


def _widest(figure: OverSeeds | Difference) -> Interval:
    """The interval over patients and seeds, or over patients where there is one seed."""
    return figure.patients if figure.patients_and_seeds is None else figure.patients_and_seeds


def _over_seeds(figure: OverSeeds) -> str:
    return with_interval(_widest(figure)) + ("" if math.isnan(figure.deviation) else f" ±{figure.deviation:.3f}")


def _spread(figure: OverSeeds) -> str:
    return decimals(figure.mean) + ("" if math.isnan(figure.deviation) else f" ±{figure.deviation:.3f}")


def _points(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return decimals(interval.estimate)
    return f"{100 * interval.estimate:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _percent(change: float) -> str:
    return f"{change:+.1f} %" if abs(change) < 1000 else f"{change:+,.0f} %"


def as_markdown(comparison: Comparison) -> str:
    """The page."""
    loader = PackageLoader("ecoscale", "templates")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("comparison.md").render(
        comparison=comparison,
        protocol=comparison.protocol,
        test=comparison.test,
        collection=list_collections()[comparison.protocol.collection].title,
        tables=tables(comparison),
        reading=reading(comparison),
        one_seed=any(len(network.seeds) == 1 for network in comparison.networks.values()),
        disclaimer=DISCLAIMER,
    )


def as_csv(comparison: Comparison) -> str:
    """Every figure in a row of its own: of a network, or of the difference `network` minus `other`."""
    stream = io.StringIO()
    head = ("set", "network", "other", "metric", "class", "seeds", "mean", "deviation_over_seeds")
    head += tuple(f"{bound}_{over}" for over in ("patients", "patients_and_seeds") for bound in ("low", "high"))
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    for of, figures in ((comparison.protocol.test, comparison.test), ("external", comparison.external)):
        if figures is None:
            continue
        for network, own in figures.networks.items():
            for metric, classes in own.items():
                for name, figure in classes.items():
                    seeds = len(figure.by_seed)
                    writer.writerow(
                        (
                            of,
                            network,
                            "",
                            metric,
                            name,
                            seeds,
                            *_numbers(figure.mean, figure.deviation),
                            *_bounds(figure),
                        )
                    )
        for first, second, difference in _pairs(figures):
            for metric, classes in difference.items():
                for name, figure in classes.items():
                    writer.writerow((of, first, second, metric, name, "", *_numbers(figure.mean), "", *_bounds(figure)))
    return stream.getvalue()


def _bounds(figure: OverSeeds | Difference) -> list[str]:
    both = figure.patients_and_seeds
    return [
        *_numbers(figure.patients.low, figure.patients.high),
        *(("", "") if both is None else _numbers(both.low, both.high)),
    ]


def _numbers(*values: float) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.6f}" for value in values]


def draw(comparison: Comparison) -> Figure:
    """Macro F1 over MACs, every seed as a small point."""
    points: list[dict[str, Any]] = []
    for name, network in comparison.networks.items():
        figure = comparison.test.networks[name]["f1"][MACRO]
        points.append(
            {
                "title": network.title,
                "cost": network.macs / 1e9,
                "interval": _widest(figure),
                "each": figure.by_seed,
                "baseline": network.baseline,
            }
        )
    return draw_over_cost(points, "GMAC for one record", "macro F1, test part")
