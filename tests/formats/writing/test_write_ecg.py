"""Each writer's files, read back by `read_ecg` and by readers that have nothing to do with it."""

import sys

import numpy as np
import pandas as pd
import pyarrow.parquet
import pydicom
import pyedflib
import pytest
import wfdb
from edfio import read_edf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.waveforms.numpy_handler import multiplex_array

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import FormatError, MissingExtraError, SignalError
from ecoscale.formats import read_ecg
from ecoscale.formats.writing import SUFFIXES, write_ecg

REAL = get_testdata_file("waveform_ecg.dcm")


def by_wfdb(path):
    record = wfdb.rdrecord(str(path.with_suffix("")))
    assert (record.sig_name, set(record.units)) == (list(LEADS), {"mV"})
    return record.fs, record.p_signal.T


def by_pandas(path):
    table = pd.read_csv(path)
    assert list(table) == ["time (s)", *(f"{lead} (mV)" for lead in LEADS)]
    rate = 1 / table["time (s)"].diff().median()
    return round(rate, 6), table.iloc[:, 1:].to_numpy().T


def by_pydicom(path):
    dataset = pydicom.dcmread(path)
    microvolts = multiplex_array(dataset, 0, as_raw=False).T
    return float(dataset.WaveformSequence[0].SamplingFrequency), microvolts.astype(float) / 1000


def by_edfio(path):
    edf = read_edf(path)
    assert [signal.label for signal in edf.signals] == [f"ECG {lead}" for lead in LEADS]
    scale = [{"uV": 1e-3, "mV": 1.0}[signal.physical_dimension] for signal in edf.signals]
    return edf.signals[0].sampling_frequency, np.stack([s.data * f for s, f in zip(edf.signals, scale, strict=True)])


def by_pyarrow(path):
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == list(LEADS)
    return None, np.stack([column.to_numpy() for column in table.columns])


INDEPENDENT = {"wfdb": by_wfdb, "csv": by_pandas, "dicom": by_pydicom, "edf": by_edfio, "parquet": by_pyarrow}
FORMATS = list(SUFFIXES)


def file_of(folder, form, name="ecg"):
    return folder / f"{name}{SUFFIXES[form][0]}"


def integers(n_samples=500, n_leads=12, largest=3000, seed=0):
    return np.random.default_rng(seed).integers(-largest, largest + 1, (n_leads, n_samples))


@pytest.fixture(scope="module")
def recorded(recordings):
    """A real recording in steps of 1 uV, and one in steps of 1.25 uV."""
    return [read_ecg(sorted((recordings / "ptbxl-native").rglob("*_hr.hea"))[0]), read_ecg(REAL)]


@pytest.mark.parametrize("form", FORMATS)
def test_real_recordings_come_back_to_the_bit(recorded, tmp_path, form):
    for ecg in recorded:
        written = write_ecg(ecg, file_of(tmp_path, form))
        assert not [note for note in written.notes if note.startswith("rounded")]
        rate, signal = INDEPENDENT[form](written.paths[0])
        assert rate in (None, ecg.rate)
        np.testing.assert_allclose(signal, ecg.signal, rtol=1e-6, atol=1e-7)
        back = read_ecg(written.paths[0])
        np.testing.assert_array_equal(back.signal, ecg.signal)
        assert (back.rate, back.leads) == (ecg.rate, LEADS)


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_no_integer_is_off_by_half_a_step_at_most_which_is_said(tmp_path, form):
    ecg = synthetic_ecg(("AF",), seed=1).ecg.resample(360)
    written = write_ecg(ecg, file_of(tmp_path, form))
    _, signal = INDEPENDENT[form](written.paths[0])
    rounded = [note for note in written.notes if note.startswith("rounded: ")]
    if form in ("csv", "parquet"):
        np.testing.assert_array_equal(signal.astype(np.float32), ecg.signal)
        assert not rounded
    else:
        stated = max(float(note.partition("at most ")[2].partition(" uV")[0]) for note in rounded)
        assert 0 < np.abs(signal - ecg.signal).max() <= stated / 1000 * 1.001 + 1e-6
        assert stated <= 0.5


@pytest.mark.parametrize("form", ["wfdb", "dicom", "csv", "parquet"])
@settings(max_examples=25)
@given(
    values=st.lists(st.integers(-32767, 32767) | st.none(), min_size=24, max_size=60),
    gain=st.sampled_from([200, 204.8, 400, 1000]),
    rate=st.sampled_from([250.0, 257.5, 360.0, 500.0, 1000.0]),
)
def test_any_integers_and_gaps_come_back(tmp_path_factory, form, values, gain, rate):
    row = np.array([np.nan if value is None else value for value in values]) / gain
    if not np.isfinite(row).any():
        row[0] = 0
    ecg = ECG(np.stack([np.roll(row, shift) for shift in range(12)]), rate)
    back = read_ecg(write_ecg(ecg, file_of(tmp_path_factory.mktemp("written"), form)).paths[0])
    np.testing.assert_array_equal(back.signal, ecg.signal)
    assert back.rate == rate


@settings(max_examples=25)
@given(n_samples=st.integers(50, 3000), gain=st.sampled_from([200, 204.8, 1000 / 3, 7, 1000]))
def test_an_edf_holds_any_number_of_samples_in_any_step(tmp_path_factory, n_samples, gain):
    walks = integers(n_samples, largest=20).cumsum(axis=1)  # as an ECG goes: each sample near the one before
    ecg = ECG(walks / gain, 500)
    path = write_ecg(ecg, tmp_path_factory.mktemp("written") / "ecg.edf").paths[0]
    rate, signal = by_edfio(path)
    np.testing.assert_array_equal(signal.astype(np.float32), ecg.signal)
    assert rate == 500


def test_an_edf_is_read_by_pyedflib_as_one_of_nobody(tmp_path):
    ecg = ECG(integers(5000) / 1000, 500)
    path = write_ecg(ecg, tmp_path / "ecg.edf").paths[0]
    with pyedflib.EdfReader(str(path)) as reader:
        assert reader.filetype == pyedflib.FILETYPE_EDFPLUS
        assert (reader.signals_in_file, reader.getSampleFrequency(0)) == (12, 500)
        assert {reader.getPhysicalDimension(lead) for lead in range(12)} == {"uV"}
        np.testing.assert_array_equal(reader.readSignal(11, digital=True), integers(5000)[11])
        # X is how EDF+ writes what is not known.
        stated = (reader.getPatientName(), reader.getPatientCode(), reader.getSex(), reader.getBirthdate())
        assert set(stated) <= {"X", ""}


@pytest.mark.parametrize("n_samples", [4999, 5003, 1])
def test_an_edf_whose_samples_are_no_whole_records_of_a_second_is_still_whole(tmp_path, n_samples):
    ecg = ECG(integers(n_samples) / 1000, 500)
    assert by_edfio(write_ecg(ecg, tmp_path / "ecg.edf").paths[0])[1].shape == (12, n_samples)


def test_what_edf_cannot_state_is_refused_with_what_can(tmp_path):
    missing = integers() / 1000.0
    missing[3, 7] = np.nan
    with pytest.raises(SignalError, match="samples of aVR are missing, which EDF cannot state; write wfdb, dicom, csv"):
        write_ecg(ECG(missing, 500), tmp_path / "ecg.edf")
    with pytest.raises(FormatError, match="503 samples at 360 Hz are not a whole number of EDF data records"):
        write_ecg(ECG(integers(503) / 1000, 360), tmp_path / "ecg.edf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rate", "n_samples", "n_leads", "kind"),
    [
        (500, 5000, 12, "12-lead ECG Waveform Storage"),
        (500, 20_000, 12, "General ECG Waveform Storage"),
        (250, 5000, 3, "General ECG Waveform Storage"),
        (100, 1000, 12, "Ambulatory ECG Waveform Storage"),
    ],
)
def test_a_dicom_is_of_the_class_whose_constraints_it_meets(tmp_path, rate, n_samples, n_leads, kind):
    ecg = ECG(integers(n_samples, n_leads) / 1000, rate, LEADS[:n_leads])
    dataset = pydicom.dcmread(write_ecg(ecg, tmp_path / "ecg.dcm").paths[0])
    assert dataset.SOPClassUID.name == kind
    assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID


def test_a_rate_that_no_dicom_ecg_has_is_refused(tmp_path):
    with pytest.raises(FormatError, match="its rate is 2000 Hz; a DICOM ECG waveform has 50 to 1000 Hz"):
        write_ecg(ECG(integers() / 1000, 2000), tmp_path / "ecg.dcm")


def test_a_dicom_has_every_attribute_that_the_standard_demands_and_no_patient(tmp_path):
    ecg = ECG(integers(5000) / 1000, 500, source="Miller.hea", record="Miller")
    written = write_ecg(ecg, tmp_path / "ecg.dcm")
    dataset = pydicom.dcmread(written.paths[0])
    type_1 = "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality InstanceNumber ContentDate"
    type_1 += " ContentTime AcquisitionDateTime WaveformSequence"
    type_2 = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID"
    type_2 += " AccessionNumber SeriesNumber Manufacturer AcquisitionContextSequence"
    assert all(dataset[keyword].value for keyword in type_1.split())
    assert not any(dataset[keyword].value for keyword in type_2.split())
    assert (dataset.Modality, dataset.PatientIdentityRemoved) == ("ECG", "YES")
    assert "Miller" not in str(dataset)
    assert [note for note in written.notes if note.startswith("no_time: ")]
    (group,) = dataset.WaveformSequence
    type_1 = "WaveformOriginality NumberOfWaveformChannels NumberOfWaveformSamples SamplingFrequency WaveformData"
    type_1 += " ChannelDefinitionSequence WaveformBitsAllocated WaveformSampleInterpretation"
    assert all(group[keyword].value for keyword in type_1.split())
    codes = [channel.ChannelSourceSequence[0].CodeValue for channel in group.ChannelDefinitionSequence]
    real = pydicom.dcmread(REAL).WaveformSequence[0].ChannelDefinitionSequence
    names = [channel.ChannelSourceSequence[0].CodeMeaning for channel in real]
    assert codes == ["2:1", "2:2", "2:61", "2:62", "2:63", "2:64", *(f"2:{number}" for number in range(3, 9))]
    assert len(names) == len(codes)
    for channel in group.ChannelDefinitionSequence:
        keywords = "ChannelSourceSequence ChannelSensitivityUnitsSequence WaveformBitsStored ChannelSensitivity"
        assert all(channel[keyword].value for keyword in f"{keywords} ChannelSensitivityCorrectionFactor".split())
        assert (channel.ChannelBaseline, channel.ChannelSampleSkew) == (0, 0)
        assert channel.ChannelSensitivityUnitsSequence[0].CodingSchemeDesignator == "UCUM"


def test_two_dicoms_of_one_ecg_are_two_instances(tmp_path):
    ecg = ECG(integers() / 1000, 500)
    files = [write_ecg(ecg, tmp_path / name).paths[0] for name in ("a.dcm", "b.dcm")]
    assert len({pydicom.dcmread(file).SOPInstanceUID for file in files}) == 2


def test_notes_of_the_reader_go_into_a_wfdb_header_and_a_parquet(tmp_path):
    ecg = ECG(integers(n_leads=2) / 1000, 500, ("I", "II")).derive_limb_leads()
    header, _ = write_ecg(ecg, tmp_path / "ecg.hea").paths
    assert "# derived_leads: III, aVR, aVL, aVF computed from I, II" in header.read_text()
    table = read_ecg(write_ecg(ecg, tmp_path / "ecg.parquet").paths[0], fewer_leads=True)
    assert table.notes == ecg.notes


def test_a_wfdb_record_has_the_checksums_that_wfdb_computes(tmp_path):
    write_ecg(ECG(integers(largest=30_000) / 200, 257.5), tmp_path / "ecg.hea")
    record = wfdb.rdrecord(str(tmp_path / "ecg"), physical=False)
    assert [checksum % 65536 for checksum in record.checksum] == record.calc_checksum()
    assert record.init_value == record.d_signal[0].tolist()


def test_the_format_is_that_of_the_suffix_unless_it_is_named(tmp_path):
    ecg = ECG(integers() / 1000, 500)
    assert write_ecg(ecg, tmp_path / "new" / "ECG.EDF").paths == (tmp_path / "new" / "ECG.EDF",)
    assert write_ecg(ecg, tmp_path / "ecg.bin", "dicom").paths == (tmp_path / "ecg.bin",)
    assert write_ecg(ecg, tmp_path / "ecg.dat", "wfdb").paths == (tmp_path / "ecg.hea", tmp_path / "ecg.dat")
    with pytest.raises(FormatError, match=r"ecg.bin: its suffix '.bin' is not that of a format that is written \(.hea"):
        write_ecg(ecg, tmp_path / "ecg.bin")
    with pytest.raises(
        FormatError, match="format 'scp' is not written; those that are: wfdb, csv, dicom, edf, parquet"
    ):
        write_ecg(ecg, tmp_path / "ecg.scp", "scp")


def test_a_name_that_no_wfdb_record_may_have_is_refused_with_one_that_it_may(tmp_path):
    with pytest.raises(FormatError, match=r"'Müller, A' cannot be the name of a WFDB record.*; write M_ller__A.hea"):
        write_ecg(ECG(integers() / 1000, 500), tmp_path / "Müller, A.hea")


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, form, monkeypatch):
    ecg = ECG(integers() / 1000, 500)
    paths = write_ecg(ecg, file_of(tmp_path, form)).paths
    before = [path.read_bytes() for path in paths]
    too_large = ECG(np.random.default_rng(0).normal(scale=500, size=(12, 500)), 500)
    if form in ("wfdb", "dicom", "edf"):
        with pytest.raises(SignalError):
            write_ecg(too_large, file_of(tmp_path, form))
        assert [path.read_bytes() for path in paths] == before
    else:
        write_ecg(too_large, file_of(tmp_path, form))
        assert [path.read_bytes() for path in paths] != before
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize(("form", "package"), [("dicom", "pydicom"), ("edf", "edfio"), ("parquet", "pyarrow")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, form, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'; install it with: pip install 'ecoscale\[formats\]'"):
        write_ecg(ECG(integers() / 1000, 500), file_of(tmp_path, form))
    assert list(tmp_path.iterdir()) == []
