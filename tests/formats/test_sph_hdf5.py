"""The HDF5 of SPH: told by its content, read as its publisher documents it, and what contradicts that is refused."""

import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError, LeadError, MissingExtraError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.sph_hdf5 import is_recording


def write(path, signal, name="ecg"):
    with h5py.File(path, "w") as file:
        file[name] = signal
    return path


def twelve_leads(n_samples=5000, seed=0):
    """(leads, samples) in mV as SPH stores it: half precision, the limb leads as the identities have them."""
    signal = np.random.default_rng(seed).normal(size=(8, n_samples))
    return ECG(signal, 500, ("I", "II", *LEADS[6:])).derive_limb_leads().signal.astype(np.float16)


@pytest.fixture
def record(tmp_path):
    return write(tmp_path / "A00001.h5", twelve_leads())


def test_a_recording_is_read_as_it_is_stored(record):
    ecg = read_ecg(record)
    assert (ecg.record, ecg.rate, ecg.leads, ecg.source) == ("A00001", 500, LEADS, str(record))
    assert ecg.signal.dtype == np.float32
    np.testing.assert_array_equal(ecg.signal, twelve_leads().astype(np.float32))
    assert ecg.notes == ()


def test_half_precision_keeps_the_limb_lead_identities(record):
    assert max(read_ecg(record).einthoven_residual().values()) < 0.001


@pytest.mark.parametrize("n_samples", [1, 5000, 28000])
def test_recordings_are_as_long_as_they_are(tmp_path, n_samples):
    path = write(tmp_path / "A.h5", twelve_leads(n_samples))
    assert read_ecg(path).n_samples == n_samples


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_another_precision_is_read_too(tmp_path, kind):
    signal = twelve_leads().astype(kind)
    np.testing.assert_array_equal(read_ecg(write(tmp_path / "A.h5", signal)).signal, signal)


def test_the_content_tells_it_from_other_hdf5_whatever_the_name(record, tmp_path):
    code = tmp_path / "A00002.h5"
    with h5py.File(code, "w") as file:
        file["tracings"], file["exam_id"] = np.ones((2, 8, 12), np.float32), [7, 0]
    write(tmp_path / "A00003.h5", np.ones((12, 8)), "weights")
    record.rename(tmp_path / "x.bin")
    assert is_recording(tmp_path / "x.bin")
    assert not is_recording(code)
    found = [(recording.path.name, recording.record) for recording in find_recordings([tmp_path])]
    assert found == [("A00002.h5", "7"), ("x.bin", None)]
    assert [recording.read().record for recording in find_recordings([tmp_path / "x.bin"])] == ["x"]


@given(shape=st.lists(st.integers(0, 13), max_size=3).map(tuple), kind=st.sampled_from(["f2", "f8", "i4"]))
def test_only_floats_in_twelve_rows_are_a_recording(tmp_path_factory, shape, kind):
    path = write(tmp_path_factory.mktemp("sph") / "A.h5", np.zeros(shape, kind))
    good = len(shape) == 2 and shape[0] == 12 and shape[1] > 0 and kind != "i4"
    assert is_recording(path) is good
    # A folder without any is yielded itself.
    assert [recording.path for recording in find_recordings([path.parent])] == [path if good else path.parent]


def test_a_signal_of_another_shape_is_refused_saying_which_is_expected(tmp_path):
    with pytest.raises(FormatError, match=r"\(it has ecg\); .*that of SPH: 'ecg' of floats, \(12, samples\)"):
        read_ecg(write(tmp_path / "A.h5", np.zeros((5000, 12), np.float16)))


def test_the_record_is_the_files_name(record):
    assert read_ecg(record, record="A00001").record == "A00001"
    with pytest.raises(FormatError, match=r"record 'A00002' was asked for; the file holds one, 'A00001'"):
        read_ecg(record, record="A00002")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 400}, "the rate of SPH is 500 Hz, but rate=400"),
        ({"unit": "uV"}, "the unit of SPH is 'mV', but unit='uV'"),
        ({"leads": LEADS[::-1]}, r"leads=V6 V5 .* was given, but SPH holds I II"),
    ],
)
def test_what_contradicts_the_publishers_documentation_is_refused(record, options, message):
    with pytest.raises(FormatError, match=message):
        read_ecg(record, **options)
    assert read_ecg(record, rate=500, unit="mV", leads=LEADS).rate == 500


def test_an_unknown_lead_given_is_refused_by_name(record):
    with pytest.raises(LeadError, match="MLII"):
        read_ecg(record, leads=["MLII"])


def test_missing_samples_stay_missing_and_are_said(tmp_path):
    signal = twelve_leads()
    signal[3, 10:20] = np.nan
    ecg = read_ecg(write(tmp_path / "A.h5", signal))
    assert ecg.check()[0].startswith("missing_samples: aVR 0.2 %")


def test_an_artefact_is_read_and_warned_of(tmp_path):
    """Some electrodes of SPH swing over 100 mV."""
    signal = twelve_leads()
    signal[11] *= 50
    assert any(
        found.startswith("implausible_amplitude: V6") for found in read_ecg(write(tmp_path / "A.h5", signal)).check()
    )


@pytest.mark.parametrize("length", [9, 100, 2000])
def test_a_file_that_is_cut_off_is_refused(record, tmp_path, length):
    (tmp_path / "cut.h5").write_bytes(record.read_bytes()[:length])
    with pytest.raises(FormatError, match=r"cut\.h5"):
        read_ecg(tmp_path / "cut.h5")


def test_without_h5py_the_extra_to_install_is_named(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"ecoscale\[formats\]"):
        read_ecg(record)
