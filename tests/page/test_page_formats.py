"""A file of every format that is read, dropped on the page: each shows the same ECG."""

import json
import zipfile

import h5py
import numpy as np
import pytest
import test_fhir as fhir
import test_hl7_aecg as aecg
import test_ishne as ishne
import test_muse_xml as muse
import test_philips_xml as philips
import test_scp as scp
from playwright.sync_api import expect
from scipy.io import savemat

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.formats.writing import write_ecg

RATE, MICROVOLTS = 500, 5
STATED = {"rate": "500", "unit": "uV", "leads": " ".join(LEADS)}


@pytest.fixture(scope="module")
def steps():
    """Ten seconds of AF in whole steps of 5 uV, which every format holds: `(12, 5000)`."""
    signal = synthetic_ecg(["AF"], rate=RATE, seed=1).ecg.signal
    steps = np.round(signal * 1000 / MICROVOLTS).astype(int)
    steps[2] = steps[1] - steps[0]
    return steps


def write_code15(path, steps):
    with h5py.File(path, "w") as file:
        file["exam_id"] = [7, 0]
        signal = ECG(steps * MICROVOLTS / 1000, RATE).resample(400).signal.T
        file["tracings"] = np.stack([np.pad(signal, ((48, 48), (0, 0))), np.zeros((4096, 12))]).astype("<f4")


def write_zip(path, steps):
    folder = path.parent / "zipped"
    folder.mkdir()
    written = write_ecg(ECG(steps * MICROVOLTS / 1000, RATE), folder / "inside.hea")
    with zipfile.ZipFile(path, "w") as archive:
        for each in written.paths:
            archive.write(each, each.name)


def by_writer(path, steps):
    return write_ecg(ECG(steps * MICROVOLTS / 1000, RATE), path)


def eight(steps):
    return steps[[LEADS.index(lead) for lead in scp.EIGHT]]


WRITERS = {
    "ecg.hea": by_writer,
    "ecg.dcm": by_writer,
    "ecg.edf": by_writer,
    "ecg.csv": by_writer,
    "ecg.parquet": by_writer,
    "ecg.zip": write_zip,
    "ecg.hdf5": write_code15,
    "ecg.scp": lambda path, steps: path.write_bytes(scp.scp(eight(steps), encoding=2, huffman=scp.default_code)),
    "aecg.xml": lambda path, steps: path.write_text(aecg.document(aecg.series(aecg.sequence_set(steps)))),
    "muse.xml": lambda path, steps: path.write_text(
        muse.document(muse.waveform(eight(steps).astype("<i2"), scp.EIGHT, LeadAmplitudeUnitsPerBit=MICROVOLTS))
    ),
    "philips.xml": lambda path, steps: path.write_text(
        philips.document(
            philips.based(philips.xli(philips.residuals(steps))),
            waveform={"samplespersecond": RATE, "durationperchannel": 10_000},
            acquired={"samplingrate": RATE},
        )
    ),
    "fhir.json": lambda path, steps: path.write_text(json.dumps(fhir.observation(steps=steps))),
    "signal.json": lambda path, steps: path.write_text(
        json.dumps({"signal": (steps * MICROVOLTS).tolist(), "rate": RATE, "unit": "uV", "leads": LEADS})
    ),
    "ecg.ecg": lambda path, steps: path.write_bytes(
        ishne.ishne(steps.T, list(ishne.CODES.values()), rate=RATE, nanovolts=1000 * MICROVOLTS)
    ),
    "stated.npy": lambda path, steps: np.save(path, steps * MICROVOLTS),
    "stated.mat": lambda path, steps: savemat(path, {"val": steps * MICROVOLTS}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_this_format_is_shown(visit, tmp_path, steps, name):
    WRITERS[name](tmp_path / name, steps)
    files = sorted(each for each in tmp_path.iterdir() if each.is_file())
    with visit() as page:
        if name.startswith("stated"):
            page.click("#options summary")
            for field in ("rate", "leads"):
                page.fill(f"#{field}", STATED[field])
            page.select_option("#unit", STATED["unit"])
        page.set_input_files("#files", files)
        expect(page.locator("#verdict")).to_contain_text("trial fibrillation", timeout=30_000)
        assert page.locator("path.trace[data-lead]").count() == 13
        assert page.locator("#trouble").inner_text() == ""
