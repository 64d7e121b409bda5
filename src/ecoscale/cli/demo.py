"""`ecoscale demo`: from files to a report, on ECGs that need no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", file_okay=False, help="Folder for the ECGs and the report.")
    ] = Path("ecoscale-demo"),
    bundle: Annotated[
        str | None, typer.Option(help="A bundle's folder or name.", show_default="the bundle in the package")
    ] = None,
) -> None:
    """Write synthetic ECGs with known findings, add pydicom's real 12-lead ECG, classify all and write a report.

    Synthetic ECGs show that the parts work together; they are never evidence of accuracy.

    Examples:
      ecoscale demo
      ecoscale demo --out demo --bundle bundles/mine
    """
    import shutil
    import time

    from rich.console import Console

    from ecoscale.cli._output import FAILED, Format
    from ecoscale.cli._results import write_results
    from ecoscale.datasets.examples import EXAMPLES, example_ecg
    from ecoscale.datasets.layouts import write_wfdb
    from ecoscale.formats import find_recordings
    from ecoscale.inference import Classifier

    console = Console(stderr=True, highlight=False)
    folder = out / "ecgs"
    write_wfdb(folder, map(example_ecg, EXAMPLES))
    paths = [folder / f"synthetic-{name}.hea" for name in EXAMPLES]
    dicom = _real_dicom()
    if dicom is None:
        console.print("no real ECG: the package pydicom (ecoscale[formats]) brings one", style="yellow")
    else:
        paths.append(Path(shutil.copy(dicom, folder / "pydicom-waveform_ecg.dcm")))
    began = time.perf_counter()
    classifier = Classifier.load(bundle)
    classifier.bundle.require_ecg("ecoscale demo")
    loaded = time.perf_counter()
    results = list(classifier.classify(find_recordings(paths)))
    done = time.perf_counter()
    report = out / "report.html"
    outcome = write_results(results, Format.TABLE, None, report, [label.name for label in classifier.labels])
    console.print(
        f"\n{len(results)} ECGs read and classified in {done - loaded:.2f} s, after {loaded - began:.2f} s to load and "
        f"self-test the bundle.\nreport: {report}",
        markup=False,
        soft_wrap=True,
    )
    if outcome.failed:
        raise typer.Exit(FAILED)


def _real_dicom() -> Path | None:
    """The 12-lead ECG waveform that pydicom ships."""
    try:
        from pydicom.data import get_testdata_file
    except ImportError:
        return None
    found = get_testdata_file("waveform_ecg.dcm", download=False)
    return None if found is None else Path(str(found))
