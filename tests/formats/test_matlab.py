"""MATLAB files written by scipy.io.savemat, and of version 7.3 by h5py as MATLAB lays them out."""

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.long_records import open_long_record

STATED = {"rate": 250, "unit": "mV", "leads": LEADS}


@pytest.fixture(scope="module")
def signal():
    return synthetic_ecg(rate=250, duration=6, seed=5).ecg.signal.astype(float)


@pytest.fixture
def save(tmp_path):
    def save(variables, **options):
        scipy.io.savemat(tmp_path / "a.mat", variables, **options)
        return tmp_path / "a.mat"

    return save


@pytest.mark.parametrize("form", ["4", "5"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["val", "ECG", "anything"])
def test_one_array_is_read_with_what_the_caller_states(signal, save, form, compressed, name):
    path = save({name: signal * 1000}, format=form, do_compression=compressed and form == "5")
    ecg = read_ecg(path, rate=250, unit="uV", leads=LEADS)
    np.testing.assert_allclose(ecg.signal, signal, rtol=1e-6)
    assert (ecg.rate, ecg.leads, ecg.notes) == (250, LEADS, ())


def test_samples_first_is_told_by_the_number_of_leads(signal, save):
    np.testing.assert_allclose(read_ecg(save({"val": signal.T}), **STATED).signal, signal, rtol=1e-6)
    with pytest.raises(FormatError, match=r"val is 12 x 12 for 12 leads"):
        read_ecg(save({"val": signal[:, :12]}), **STATED)
    with pytest.raises(FormatError, match=r"val is 3 x 1500 for 12 leads"):
        read_ecg(save({"val": signal[:3]}), **STATED)


def test_a_structure_that_says_all_needs_nothing_stated(signal, save):
    names = np.array([f"Lead {lead}" for lead in LEADS[::-1]], object)
    path = save({"ECG": {"data": signal[::-1] * 1e3, "fs": 250, "unit": "uV", "leads": names}, "other": np.eye(3)})
    np.testing.assert_allclose(read_ecg(path).signal, signal, rtol=1e-6)
    for contradiction in ({"rate": 500}, {"unit": "mV"}, {"leads": LEADS}):
        with pytest.raises(FormatError, match="was given"):
            read_ecg(path, **contradiction)


def test_what_the_structure_lacks_is_looked_for_in_the_file(signal, save):
    path = save({"ECG": {"data": signal}, "Fs": 250.0, "units": "mV", "sig_name": np.array(LEADS, object)})
    assert read_ecg(path).rate == 250


def test_other_channels_are_noted(signal, save):
    names = np.array([*LEADS, "Resp"], object)
    ecg = read_ecg(save({"val": np.vstack([signal, signal[0]]), "fs": 250, "unit": "mV", "leads": names}))
    assert ecg.notes == ("ignored_channels: Resp; not among the twelve leads",)


def test_nothing_that_is_lacking_is_guessed(signal, save):
    path = save({"val": signal, "age": 61})
    for name in STATED:
        stated = {key: value for key, value in STATED.items() if key != name}
        with pytest.raises(FormatError, match=rf"val comes without its {name}; give {name}=.*a\.hea beside it.*age"):
            read_ecg(path, **stated)


def test_two_arrays_are_listed_and_record_chooses(signal, save):
    path = save({"before": signal, "after": -signal, "age": 61})
    with pytest.raises(FormatError, match=r"2 arrays.*before \(12 x 1500\), after \(12 x 1500\), age"):
        read_ecg(path, **STATED)
    ecg = read_ecg(path, record="after", **STATED)
    np.testing.assert_allclose(ecg.signal, -signal, rtol=1e-6)
    assert ecg.record == "after"
    with pytest.raises(FormatError, match="'age' was asked for"):
        read_ecg(path, record="age", **STATED)
    with pytest.raises(FormatError, match="no arrays that may be the samples"):
        read_ecg(save({"age": 61}), **STATED)


def test_two_rates_of_one_array_are_refused(signal, save):
    with pytest.raises(FormatError, match="fs and rate say the same"):
        read_ecg(save({"val": signal, "fs": 250, "rate": 500}), unit="mV", leads=LEADS)


def test_a_rate_that_is_no_number_is_refused(signal, save):
    with pytest.raises(FormatError, match="the rate in the file is"):
        read_ecg(save({"val": signal, "fs": "fast"}), unit="mV", leads=LEADS)


def test_the_matrix_of_a_wfdb_record_is_read_by_its_header(signal, save):
    path = save({"val": np.round(signal * 1000).astype(np.int16)}, format="4")
    lines = [f"a.mat 16+24 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    path.with_suffix(".hea").write_text("\n".join(["a 12 250 1500", *lines]) + "\n")
    np.testing.assert_allclose(read_ecg(path).signal, signal, atol=0.0006)
    assert [each.path.suffix for each in find_recordings([path.parent], tables=True)] == [".hea"]


def test_a_folder_yields_it_where_rate_and_unit_are_stated(signal, save):
    path = save({"val": signal})
    assert [each.path for each in find_recordings([path.parent], tables=True)] == [path]
    assert [each.path.is_dir() for each in find_recordings([path.parent])] == [True]


def test_it_is_read_in_pieces_too(signal, save):
    record = open_long_record(save({"val": signal}), **STATED)
    np.testing.assert_allclose(np.concatenate(list(record.pieces(2)), axis=1), signal, rtol=1e-6)


@pytest.fixture
def newest(tmp_path, signal):
    """As MATLAB's save -v7.3 lays it out: dimensions in the order of columns, text as numbers, cells as references."""

    def text(group, name, value):
        group[name] = np.array([[ord(sign)] for sign in value], np.uint16)
        group[name].attrs["MATLAB_class"] = np.bytes_("char")
        return group[name]

    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        structure = file.create_group("ECG")
        structure["data"] = signal.T
        structure["fs"] = np.array([[250.0]])
        text(structure, "unit", "mV")
        refs = [text(file, f"#refs#/{lead}", lead).ref for lead in LEADS]
        structure.create_dataset("leads", data=np.array([refs], h5py.ref_dtype), dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def test_version_7_3_is_read_alike(newest, signal):
    np.testing.assert_allclose(read_ecg(newest).signal, signal, rtol=1e-6)
    newest.write_bytes(newest.read_bytes()[:3000])
    with pytest.raises(FormatError, match=r"a\.mat"):
        read_ecg(newest)


def test_a_byte_that_ends_the_interpreter_of_scipy_ends_its_process_alone(tmp_path, signal):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"ECG": {"data": np.zeros((12, 40)), "fs": 250}}, format="5")
    damaged = bytearray(path.read_bytes())
    damaged[257] = 82
    path.write_bytes(damaged)
    with pytest.raises(FormatError, match=r"a\.mat: the MATLAB file cannot be read .*Is it whole"):
        read_ecg(path, **STATED)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path, signal, data):
    path = tmp_path / "a.mat"
    form = data.draw(st.sampled_from(["4", "5"]))
    content = {"val": signal[:, :40]} if form == "4" else {"ECG": {"data": signal[:, :40], "fs": 250}}
    scipy.io.savemat(path, content, format=form, do_compression=data.draw(st.booleans()) and form == "5")
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(400, len(whole) - 1)))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(24, len(whole)))] if data.draw(st.booleans()) else whole)
    reason = "a.mat"
    try:
        assert read_ecg(path, **STATED).signal.size
    except EcoscaleError as error:
        reason = str(error)
    assert "a.mat" in reason
