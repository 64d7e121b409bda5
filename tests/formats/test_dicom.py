import copy
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian
from pydicom.waveforms.numpy_handler import multiplex_array

from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError, LeadError, MissingExtraError
from ecoscale.formats import read_ecg
from ecoscale.formats.long_records import open_long_record

REAL = get_testdata_file("waveform_ecg.dcm")


@pytest.fixture
def dataset():
    return pydicom.dcmread(REAL)


@pytest.fixture
def save(tmp_path):
    def save(dataset, name="ecg.dcm"):
        dataset.save_as(tmp_path / name)
        return tmp_path / name

    return save


def channels(dataset, group=0):
    return dataset.WaveformSequence[group].ChannelDefinitionSequence


def rename(dataset, names):
    """Call the channels so, without any code."""
    for channel, name in zip(channels(dataset), names, strict=True):
        channel.ChannelSourceSequence[0].CodeValue = "X"
        channel.ChannelSourceSequence[0].CodeMeaning = name


def test_the_rhythm_of_a_real_recording_is_read_not_its_median_beat(dataset):
    ecg = read_ecg(REAL)
    assert (ecg.rate, ecg.n_samples, ecg.leads, ecg.notes) == (1000, 10000, LEADS, ())
    assert ecg.source == REAL
    microvolts = multiplex_array(dataset, 0, as_raw=False).T
    np.testing.assert_allclose(ecg.signal, microvolts / 1000, rtol=1e-6)
    assert ecg.check() == ()


def test_the_content_decides_not_the_suffix(tmp_path):
    renamed = tmp_path / "recording.hea"
    renamed.write_bytes(Path(REAL).read_bytes())
    assert read_ecg(renamed).rate == 1000


def test_the_original_rhythm_is_found_wherever_it_stands(dataset, save):
    dataset.WaveformSequence = list(dataset.WaveformSequence)[::-1]
    np.testing.assert_array_equal(read_ecg(save(dataset)).signal, read_ecg(REAL).signal)


def test_the_longer_of_two_original_groups_is_read(dataset, save):
    short = copy.deepcopy(dataset.WaveformSequence[0])
    short.NumberOfWaveformSamples = 2500
    short.WaveformData = short.WaveformData[: 2500 * 12 * 2]
    dataset.WaveformSequence = [short, *dataset.WaveformSequence]
    assert read_ecg(save(dataset)).n_samples == 10000


def test_a_median_beat_alone_is_refused(dataset, save):
    del dataset.WaveformSequence[0]
    with pytest.raises(FormatError, match="median beat only"):
        read_ecg(save(dataset))


def test_a_derived_rhythm_alone_is_read_with_a_note(dataset, save):
    dataset.WaveformSequence[0].WaveformOriginality = "DERIVED"
    ecg = read_ecg(save(dataset))
    assert ecg.n_samples == 10000
    assert ecg.notes[0].startswith("derived_waveform")


def test_mdc_codes_and_plain_names_name_the_leads_too(dataset, save):
    expected = read_ecg(REAL).signal
    for number, channel in zip((1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), channels(dataset), strict=True):
        channel.ChannelSourceSequence[0].CodeValue = f"2:{number}"
        channel.ChannelSourceSequence[0].CodeMeaning = "Ableitung"
    np.testing.assert_array_equal(read_ecg(save(dataset)).signal, expected)
    rename(dataset, [f"MDC_ECG_LEAD_{lead.upper()}" for lead in LEADS])
    np.testing.assert_array_equal(read_ecg(save(dataset)).signal, expected)


def test_channels_in_another_order_end_in_the_canonical_one(dataset, save):
    rename(dataset, LEADS[::-1])
    np.testing.assert_array_equal(read_ecg(save(dataset)).signal, read_ecg(REAL).signal[::-1])


def test_a_code_that_contradicts_the_name_is_refused(dataset, save):
    channels(dataset)[0].ChannelSourceSequence[0].CodeMeaning = "Lead II"
    with pytest.raises(FormatError, match=r"'5.6.3-9-1' is lead I, but it is called 'Lead II'"):
        read_ecg(save(dataset))


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1000), ("V", 1e6), ("nV", 1e-3)])
def test_unit_sensitivity_correction_and_baseline_are_applied(dataset, save, unit, factor):
    for channel in channels(dataset):
        channel.ChannelSensitivityUnitsSequence[0].CodeValue = unit
        channel.ChannelSensitivity = "2.5"
        channel.ChannelSensitivityCorrectionFactor = "0.5"
        channel.ChannelBaseline = "8"
    expected = (read_ecg(REAL).signal.astype(float) + 0.008) * factor
    np.testing.assert_allclose(read_ecg(save(dataset)).signal, expected, rtol=1e-5, atol=1e-5 * factor)


def test_padding_is_missing_samples(dataset, save):
    dataset.WaveformSequence[0].add_new("WaveformPaddingValue", "OW", np.int16(-32768).tobytes())
    data = np.frombuffer(dataset.WaveformSequence[0].WaveformData, "<i2").copy()
    data[12 * 7 + 3] = -32768
    dataset.WaveformSequence[0].WaveformData = data.tobytes()
    assert np.argwhere(np.isnan(read_ecg(save(dataset)).signal)).tolist() == [[3, 7]]


def test_a_big_endian_file_reads_the_same(dataset, tmp_path):
    expected = read_ecg(REAL).signal
    for group in dataset.WaveformSequence:
        group.WaveformData = np.frombuffer(group.WaveformData, "<i2").byteswap().tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(tmp_path / "big.dcm", dataset, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(read_ecg(tmp_path / "big.dcm").signal, expected)


def drop(keyword, of="group"):
    def change(dataset):
        target = dataset.WaveformSequence[0] if of == "group" else channels(dataset)[3]
        delattr(target, keyword)

    return change


def put(keyword, value, of="group"):
    def change(dataset):
        target = dataset.WaveformSequence[0] if of == "group" else channels(dataset)[3]
        setattr(target, keyword, value)

    return change


def other_unit(dataset):
    channels(dataset)[3].ChannelSensitivityUnitsSequence[0].CodeValue = "mm[Hg]"


BROKEN = {
    "no rate": (drop("SamplingFrequency"), "SamplingFrequency"),
    "no sensitivity": (drop("ChannelSensitivity", "channel"), "channel Lead aVR: ChannelSensitivity is None"),
    "no unit": (drop("ChannelSensitivityUnitsSequence", "channel"), "Lead aVR: ChannelSensitivityUnitsSequence"),
    "another quantity": (other_unit, r"the unit of Lead aVR is 'mm\[Hg\]'"),
    "too few bytes": (put("WaveformData", b"\0" * 600), "600 bytes; expected 240000"),
    "companded audio": (put("WaveformSampleInterpretation", "MB"), "'MB'; expected integers"),
    "too many channels": (put("NumberOfWaveformChannels", 10), "holds 10 channels and defines 12"),
    "no samples": (put("NumberOfWaveformSamples", 0), "expected 0 for 0 samples|waveform"),
    "no waveform": (lambda dataset: delattr(dataset, "WaveformSequence"), "without WaveformSequence.*12-lead ECG"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_lacks_what_reading_needs_is_refused_naming_it(dataset, save, change, message):
    del dataset.WaveformSequence[1]
    change(dataset)
    path = save(dataset)
    with pytest.raises(FormatError, match=message) as caught:
        read_ecg(path)
    assert str(path) in str(caught.value)


def test_a_picture_is_refused_by_its_class():
    with pytest.raises(FormatError, match=r"class is CT Image Storage\); expected an ECG waveform"):
        read_ecg(get_testdata_file("CT_small.dcm"))


def test_leads_in_groups_of_their_own_are_not_put_together(dataset, save):
    rename(dataset, [*LEADS[:6], *"ABCDEF"])
    with pytest.raises(LeadError, match=r"V1, V2, V3, V4, V5, V6 missing.*group 1 of 2; leads of different groups"):
        read_ecg(save(dataset))


@pytest.mark.parametrize(
    "options",
    [{"rate": 500}, {"unit": "mV"}, {"leads": LEADS[::-1]}, {"record": "1"}],
    ids=lambda options: next(iter(options)),
)
def test_what_contradicts_the_file_is_refused(options):
    with pytest.raises(FormatError, match=r"was (given|asked for)"):
        read_ecg(REAL, **options)
    assert read_ecg(REAL, rate=1000, unit="uV", leads=LEADS).rate == 1000


@pytest.mark.parametrize("length", [140, 400, 3000, 100_000])
def test_a_file_that_is_cut_off_is_refused(tmp_path, length):
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(Path(REAL).read_bytes()[:length])
    with pytest.raises(FormatError, match=r"cut.dcm"):
        read_ecg(cut)


def test_without_pydicom_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"ecoscale\[formats\]"):
        read_ecg(REAL)


@pytest.fixture
def ambulatory(dataset, save):
    """Three leads of two hours at 100 Hz, as an Ambulatory ECG (PS3.3 A.34.5): 50 times the ten seconds, thinned."""
    group = dataset.WaveformSequence[0]
    data = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)[::10, [1, 6, 10]]
    data = np.tile(data, (720, 1))
    dataset.WaveformSequence = [group]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.3"
    dataset.AcquisitionDateTime = "20230630220500.123"
    group.ChannelDefinitionSequence = [group.ChannelDefinitionSequence[row] for row in (1, 6, 10)]
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples, group.SamplingFrequency = 3, len(data), 100
    group.WaveformData = data.astype("<i2").tobytes()
    return save(dataset)


def test_an_ambulatory_ecg_of_hours_is_read_in_pieces(ambulatory):
    record = open_long_record(ambulatory)
    assert (record.leads, record.rate, record.duration) == (("II", "V1", "V5"), 100, 7200)
    assert record.start == datetime(2023, 6, 30, 22, 5)
    pieces = list(record.pieces(60))
    assert len(pieces) == 120
    expected = read_ecg(REAL).select(["II", "V1", "V5"]).signal[:, ::10]
    np.testing.assert_allclose(pieces[7], np.tile(expected, 6), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), read_ecg(ambulatory, fewer_leads=True).signal)


def test_one_that_is_too_long_is_refused_and_named_leads_are_missing(ambulatory):
    with pytest.raises(FormatError, match="ecoscale timeline"):
        read_ecg(ambulatory, fewer_leads=True, longest=3600)
    with pytest.raises(LeadError, match="lead I, III"):
        read_ecg(ambulatory)


def test_a_general_ecg_is_read_alike(dataset, save):
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.2"
    np.testing.assert_array_equal(read_ecg(save(dataset)).signal, read_ecg(REAL).signal)


def test_samples_of_another_size_than_their_kind_are_refused(dataset, save):
    dataset.WaveformSequence[0].WaveformBitsAllocated = 8
    with pytest.raises(FormatError, match="WaveformBitsAllocated is 8; expected 16 for SS"):
        read_ecg(save(dataset))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path, data):
    whole = bytearray(Path(REAL).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(132, 12_000))] = data.draw(st.integers(0, 255))
    path = tmp_path / "ecg.dcm"
    path.write_bytes(whole)
    reason = "ecg.dcm"
    try:
        assert read_ecg(path, fewer_leads=True).signal.size
    except EcoscaleError as error:
        reason = str(error)
    assert "ecg.dcm" in reason
