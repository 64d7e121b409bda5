"""What fine-tuning is worth on some 200 records: the other statements of Chapman, in twelve leads, eight and one.

    python studies/finetuning.py BUNDLE ECG-ARRHYTHMIA

From Chapman's records that the bundle has not seen, some are drawn for a user's folder, stratified by statement, and
written as a user would have them: WFDB with twelve leads at 500 Hz, `.npy` with eight, and lead I at 250 Hz. The bundle
is fine-tuned on them, and the same network trained from nothing for twice the epochs; both are then measured on all
the other unseen records, through the whole path of a user's file. Chapman's records are of a patient each.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer

from ecoscale.cli._output import changes as stated_changes
from ecoscale.datasets import Collection, in_part, open_collection
from ecoscale.datasets.splits import stratified_split
from ecoscale.evaluation import measure
from ecoscale.finetuning import finetune
from ecoscale.measuring import classify_records
from ecoscale.packing import pack
from ecoscale.training import Run
from ecoscale.training.pretrained import open_pretrained

if TYPE_CHECKING:
    from ecoscale.bundle import Bundle

STATEMENTS = {
    "t_wave_change": "164934002",
    "lv_high_voltage": "55827005",
    "st_t_change": "428750005",
    "atrial_flutter": "164890007",
    "left_axis": "39732003",
}
"""SNOMED-CT codes of the most frequent statements that are none of the six findings."""
KINDS = {"twelve": None, "eight": ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), "one": ("I",)}
WATCH_RATE = 250.0


def write_folder(folder: Path, chapman: Collection, records: list[str], kind: str) -> Path:
    """A user's folder with these records and a table of the statements."""
    folder.mkdir(parents=True)
    leads = KINDS[kind]
    rows = []
    for record in records:
        name = record
        if leads is None:
            for suffix in (".hea", ".mat"):
                shutil.copy(chapman.path(record).with_suffix(suffix), folder)
        else:
            ecg = chapman.read(record).select(leads)
            name = f"{record}.npy"
            np.save(folder / name, (ecg.resample(WATCH_RATE) if kind == "one" else ecg).signal)
        codes = chapman.records.loc[record, "codes"]
        rows.append((name, *(int(code in codes) for code in STATEMENTS.values())))
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("record", *STATEMENTS), *rows])
    if leads is not None:
        rate = WATCH_RATE if kind == "one" else 500
        (folder / "dataset.yaml").write_text(f"rate: {rate:g}\nunit: mV\nleads: [{', '.join(leads)}]\n")
    return folder


def unseen(chapman: Collection, base: str) -> list[str]:
    """Records that can be read and that the base was neither trained nor validated on."""
    seen = np.zeros(len(chapman), dtype=bool)
    for part in open_pretrained(base).data:
        if part["collection"] == chapman.name:
            split = None if part.get("split") is None else (Path(part["split"]), part["part"])
            seen |= in_part(chapman.records, part.get("folds"), part.get("share"), split)
    return chapman.records.index[~seen].tolist()


def scores(bundle: Bundle, folder: Path) -> tuple[float, float]:
    """Macro AUROC and average precision of a bundle on all records of a folder."""
    collection = open_collection(folder, "folder")
    found = classify_records(bundle, collection, np.ones(len(collection), dtype=bool))
    macro = measure(found.labels, found.probabilities, found.thresholds, found.names).macro
    return macro["auroc"], macro["average_precision"]


def main(
    bundle: Annotated[str, typer.Argument(help="A bundle with weights, or a run.")],
    chapman_folder: Annotated[Path, typer.Argument(help="Chapman (ecg-arrhythmia).")],
    records: Annotated[int, typer.Option(help="In the user's folder.")] = 200,
    seeds: Annotated[int, typer.Option(help="Draws of the records, each with its own training.")] = 2,
    kinds: Annotated[str, typer.Option(help="Which leads: twelve, eight, one.")] = "twelve,eight,one",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the recipe, as finetune takes.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 1,
) -> None:
    """Print the table of docs/finetuning.md."""
    torch.set_num_threads(threads)
    changes = stated_changes(change)
    chapman = open_collection(chapman_folder, "chapman")
    there = unseen(chapman, bundle)
    codes = chapman.records.loc[there, "codes"]
    labels = np.array([[code in own for code in STATEMENTS.values()] for own in codes], dtype=np.int8)
    print(f"{len(there)} unseen records; {records} to train on, {len(there) - records} to measure on")
    print("| leads | draw | AUROC tuned | from scratch | average precision tuned | from scratch | seconds |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for kind in kinds.split(","):
        for seed in range(seeds):
            shares = {"own": records / len(there), "rest": 1 - records / len(there)}
            part = stratified_split(chapman.records.loc[there], labels, shares, seed)
            with tempfile.TemporaryDirectory() as scratch:
                own, rest = (
                    write_folder(Path(scratch) / which, chapman, [r for r in there if part[r] == which], kind)
                    for which in ("own", "rest")
                )
                began, out = time.perf_counter(), Path(scratch) / "out"
                tuned = finetune(
                    bundle, own, out, seed=seed, changes=changes, cross_validate=False, beside_scratch=True
                )
                seconds = sum(row["seconds"] for row in Run(out / "runs" / "final").history)
                nothing = pack(Run(out / "runs" / "scratch-final"), Path(scratch) / "scratch")
                (auroc, precision), (auroc_0, precision_0) = (scores(one, rest) for one in (tuned.bundle, nothing))
                print(
                    f"| {kind} | {seed} | {auroc:.3f} | {auroc_0:.3f} | {precision:.3f} | {precision_0:.3f} "
                    f"| {seconds:.0f} (all {time.perf_counter() - began:.0f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
