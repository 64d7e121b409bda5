"""EDF, EDF+ and BDF: files written by edfio and by pyedflib, samples compared with what the other makes of them."""

import sys
import tracemalloc
from datetime import date, datetime, time

import edfio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError, LeadError, MissingExtraError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.long_records import open_long_record

pyedflib = pytest.importorskip("pyedflib")


@pytest.fixture(scope="module")
def signal():
    """12 s of twelve leads at 250 Hz, in mV."""
    return synthetic_ecg(rate=250, duration=12, seed=5).ecg.signal.astype(float)


def write_edf(path, signal, labels, *, unit="uV", rate=250, kind="edf", others=(), **options):
    signal_class, file_class = (edfio.EdfSignal, edfio.Edf) if kind == "edf" else (edfio.BdfSignal, edfio.Bdf)
    scale = {"uV": 1000, "mV": 1, "V": 0.001}.get(unit, 1)
    signals = [
        signal_class(row * scale, rate, label=label, physical_dimension=unit, physical_range=(-5 * scale, 5 * scale))
        for row, label in zip(signal, labels, strict=True)
    ]
    file_class([*signals, *others], **options).write(path)
    return path


def write_by_pyedflib(path, signal, labels, file_type):
    largest = 8388607 if path.suffix == ".bdf" else 32767
    writer = pyedflib.EdfWriter(str(path), len(labels), file_type=file_type)
    for number, label in enumerate(labels):
        about = {"label": label, "dimension": "uV", "sample_frequency": 250, "transducer": "", "prefilter": ""}
        limits = {"physical_max": 5000, "physical_min": -5000, "digital_max": largest, "digital_min": -largest - 1}
        writer.setSignalHeader(number, about | limits)
    writer.setStartdatetime(datetime(2021, 3, 4, 22, 5, 6))
    writer.writeSamples([np.ascontiguousarray(1000 * row) for row in signal])
    if file_type in (pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDFPLUS):
        writer.writeAnnotation(1.5, -1, "a beat")
    writer.close()
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.edf", "FILETYPE_EDF"),
        ("a.edf", "FILETYPE_EDFPLUS"),
        ("a.bdf", "FILETYPE_BDF"),
        ("a.bdf", "FILETYPE_BDFPLUS"),
    ],
)
def test_files_by_pyedflib_are_read_as_edfio_reads_them(tmp_path, signal, name, kind):
    path = write_by_pyedflib(tmp_path / name, signal, [f"ECG {lead}" for lead in LEADS], getattr(pyedflib, kind))
    ecg = read_ecg(path)
    expected = (edfio.read_edf if name == "a.edf" else edfio.read_bdf)(path)
    np.testing.assert_array_equal(ecg.signal, np.float32([each.data / 1000 for each in expected.signals]))
    assert (ecg.rate, ecg.leads, ecg.n_samples) == (250, LEADS, 3000)
    assert ecg.notes == (("ignored_channels: annotations; not among the twelve leads",) if "PLUS" in kind else ())
    assert open_long_record(path).start == datetime(2021, 3, 4, 22, 5, 6)


@pytest.mark.parametrize("kind", ["edf", "bdf"])
@pytest.mark.parametrize("unit", ["uV", "mV", "V"])
def test_files_by_edfio_are_read_as_pyedflib_reads_them(tmp_path, signal, kind, unit):
    path = write_edf(tmp_path / f"a.{kind}", signal, LEADS, unit=unit, kind=kind)
    factor = {"uV": 1e-3, "mV": 1, "V": 1e3}[unit]
    with pyedflib.EdfReader(str(path)) as reader:
        expected = np.array([reader.readSignal(number) for number in range(12)]) * factor
    # The file's own text of physical limits has 8 characters; the rest is rounding to float32.
    np.testing.assert_allclose(read_ecg(path).signal, expected, rtol=1e-6, atol=1e-9)
    step = 10 / 65535 if kind == "edf" else 10 / 2**24
    np.testing.assert_allclose(read_ecg(path).signal, signal, atol=step)


def test_labels_name_the_leads_in_any_order_and_other_channels_are_noted(tmp_path, signal):
    labels = [f"EKG {lead}" for lead in LEADS[::-1]]
    breath = edfio.EdfSignal(np.sin(np.arange(12 * 25)), 25, label="Resp", physical_dimension="mV")
    path = write_edf(tmp_path / "a.edf", signal[::-1], labels, others=[breath])
    ecg = read_ecg(path)
    np.testing.assert_allclose(ecg.signal, signal, atol=10 / 65535)
    assert ecg.notes == ("ignored_channels: Resp; not among the twelve leads",)


def test_a_label_that_says_ecg_and_no_lead_asks_for_leads(tmp_path, signal):
    breath = edfio.EdfSignal(np.sin(np.arange(12 * 25)), 25, label="Resp", physical_dimension="mV")
    path = write_edf(tmp_path / "a.edf", signal[1:2], ["ECG"], others=[breath])
    with pytest.raises(FormatError, match=r"no channel is named.*'ECG', 'Resp'.*give leads="):
        read_ecg(path, fewer_leads=True)
    ecg = read_ecg(path, leads=["II"], fewer_leads=True)
    assert ecg.leads == ("II",)
    np.testing.assert_allclose(ecg.signal[0], signal[1], atol=10 / 65535)
    assert ecg.notes == ("ignored_channels: Resp; not among the twelve leads",)


def test_leads_of_different_rates_are_refused(tmp_path, signal):
    slow = edfio.EdfSignal(signal[0, ::2], 125, label="V6", physical_dimension="mV")
    path = write_edf(tmp_path / "a.edf", signal[:11], LEADS[:11], others=[slow])
    with pytest.raises(FormatError, match=r"different rates .*V5 250 Hz, V6 125 Hz"):
        read_ecg(path)


def test_a_unit_that_is_none_of_voltage_is_refused(tmp_path, signal):
    path = write_edf(tmp_path / "a.edf", signal, LEADS, unit="mmHg")
    with pytest.raises(FormatError, match="the physical dimension of I is 'mmHg'"):
        read_ecg(path)


@pytest.mark.parametrize("options", [{"rate": 500}, {"unit": "mV"}, {"leads": LEADS[::-1]}, {"record": "1"}])
def test_what_contradicts_the_file_is_refused(tmp_path, signal, options):
    path = write_edf(tmp_path / "a.edf", signal, LEADS)
    with pytest.raises(FormatError, match=r"was (given|asked for)"):
        read_ecg(path, **options)
    assert read_ecg(path, rate=250, unit="uV", leads=LEADS).n_samples == 3000


def test_missing_leads_are_named(tmp_path, signal):
    with pytest.raises(LeadError, match="lead V6 missing"):
        read_ecg(write_edf(tmp_path / "a.edf", signal[:11], LEADS[:11]))


def altered(path, at, field):
    data = path.read_bytes()
    path.write_bytes(data[:at] + field + data[at + len(field) :])
    return path


@pytest.mark.parametrize(
    ("at", "field", "message"),
    [
        (192, b"EDF+D", "discontinuous"),
        (236, b"-1      ", "states '-1' data records of '1' s.*never finished"),
        (236, b"13      ", "It is cut off"),
        (244, b"0       ", "data records of '0' s"),
        (256 + 104 * 12, b"5       ", r"physical 5 to .*the gain is not guessed"),
        (256 + 216 * 12, b"0       ", "expected positive numbers"),
        (256 + 120 * 12, b"x       ", "the EDF header cannot be read"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path, signal, at, field, message):
    path = write_edf(tmp_path / "a.edf", signal, LEADS, unit="mV", data_record_duration=1)
    if b"5 " in field and at > 256:
        altered(path, 256 + 112 * 12, field)
    with pytest.raises(FormatError, match=message):
        read_ecg(altered(path, at, field))


def test_a_cut_file_is_refused_and_bytes_after_the_end_are_noted(tmp_path, signal):
    path = write_edf(tmp_path / "a.edf", signal, LEADS)
    whole = path.read_bytes()
    for length in (255, 300, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"a\.edf"):
            read_ecg(path)
    path.write_bytes(whole + b"more")
    assert read_ecg(path).notes[0].startswith("length: 4 bytes follow")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path, signal, data):
    path = tmp_path / "a.edf"
    if not path.exists():
        write_edf(path, signal[:3, :500], LEADS[:3])
        (tmp_path / "whole").write_bytes(path.read_bytes())
    whole = bytearray((tmp_path / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, 256 * 4 + 40))] = data.draw(st.sampled_from(list(b"0123456789-. eX\xff\x00")))
    path.write_bytes(whole[: data.draw(st.integers(200, len(whole)))] if data.draw(st.booleans()) else whole)
    reason = "a.edf"
    try:
        assert read_ecg(path, fewer_leads=True, rate=250).signal.size
    except EcoscaleError as error:
        reason = str(error)
    assert "a.edf" in reason


@pytest.mark.parametrize("kind", ["edf", "bdf"])
def test_pieces_are_the_whole(tmp_path, signal, kind):
    path = write_edf(tmp_path / f"a.{kind}", signal[:3], ["ECG I", "ECG II", "V1"], kind=kind, data_record_duration=1)
    record = open_long_record(path)
    assert (record.n_samples, record.rate, record.leads) == (3000, 250, (*LEADS[:6], "V1"))
    pieces = list(record.pieces(2.5))
    assert len(pieces) == 6
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), read_ecg(path, fewer_leads=True).signal)


@pytest.mark.parametrize(
    ("day", "expected"),
    [(date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, 30)), (None, time(23, 59, 30))],
)
def test_the_clock_starts_at_the_header_s_date_or_time(tmp_path, signal, day, expected):
    recording = edfio.Recording(startdate=day)
    path = write_edf(tmp_path / "a.edf", signal, LEADS, recording=recording, starttime=time(23, 59, 30))
    record = open_long_record(path)
    assert record.start == expected
    assert record.clock(45).endswith("00:00:15")


def test_a_recording_that_is_too_long_is_refused_before_it_is_in_memory(tmp_path, signal):
    path = write_edf(tmp_path / "a.edf", signal, LEADS)
    with pytest.raises(FormatError, match="ecoscale timeline"):
        read_ecg(path, longest=11)
    assert read_ecg(path, longest=12).duration == 12


def test_a_folder_yields_it(tmp_path, signal):
    write_edf(tmp_path / "a", signal, LEADS)
    write_edf(tmp_path / "b", signal, LEADS, kind="bdf")
    (tmp_path / "c.csv").write_text("0       ,1\n2,3\n")
    assert [recording.path.name for recording in find_recordings([tmp_path])] == ["a", "b"]


def test_without_edfio_the_extra_to_install_is_named(tmp_path, signal, monkeypatch):
    path = write_edf(tmp_path / "a.edf", signal, LEADS)
    monkeypatch.setitem(sys.modules, "edfio", None)
    with pytest.raises(MissingExtraError, match=r"ecoscale\[formats\]"):
        read_ecg(path)


@pytest.mark.parametrize("kind", ["edf", "bdf"])
def test_memory_does_not_grow_with_the_length(tmp_path, signal, kind):
    peaks = []
    for minutes in (4, 20):
        long = np.tile(signal[:3], (1, 5 * minutes))
        path = write_edf(tmp_path / f"a.{kind}", long, LEADS[:3], kind=kind, data_record_duration=1)
        del long
        tracemalloc.start()
        assert sum(piece.shape[1] for piece in open_long_record(path).pieces()) == 15_000 * minutes
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The 16 minutes more take 1.4 MB as they are stored, 2.9 MB as float32.
    assert peaks[1] < peaks[0] + 500_000
