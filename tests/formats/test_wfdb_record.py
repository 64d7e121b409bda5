import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from ecoscale.ecg import CHEST_LEADS, LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats import read_ecg

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # wfdb 4.3.1 uses what pandas 3.1 deprecates
    import wfdb

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

UNITS = {"mV": 1.0, "uV": 1e-3, "V": 1e3, "nV": 1e-6}


@contextmanager
def empty_folder():
    """One for each example: hypothesis runs all examples of a test in one tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def digital_signal(n_samples=700, n_leads=12, seed=0, largest=2000):
    return np.random.default_rng(seed).integers(-largest, largest + 1, (n_samples, n_leads))


def write_record(
    folder, digital, leads=LEADS, name="rec", stored="16", scale="1000(0)/mV", rate=500, file=None, **text
):
    """A record as PhysioNet's collections have it, header line by header line."""
    file = file or f"{name}.dat"
    lines = [text.get("first", f"{name} {digital.shape[1]} {rate} {len(digital)}")]
    for column, lead in zip(digital.T, leads, strict=True):
        checksum = int(column.sum()) % 65536
        lines.append(f"{file} {stored} {scale} 16 0 {column[0]} {checksum} 0 {lead}")
    (folder / file).write_bytes(digital.astype("<i2").tobytes())
    header = folder / f"{name}.hea"
    header.write_text("\n".join([*lines, *text.get("comments", [])]) + "\n", encoding="utf-8")
    return header


def write_matlab_record(folder, digital, name="JS00001", **options):
    """A record in the layout of Chapman-Shaoxing/Ningbo: a MATLAB 4 matrix `val` behind 24 bytes."""
    header = write_record(
        folder, digital, name=name, stored="16+24", scale="1000/mV", file=f"{name}.mat", comments=["#Dx: 1"], **options
    )
    savemat(folder / f"{name}.mat", {"val": digital.T.astype("<i2")}, format="4")
    return header


@pytest.mark.parametrize(("folder", "suffix", "rate"), [("records100", "lr", 100), ("records500", "hr", 500)])
def test_ptbxl_reads_as_wfdb_reads_it(recordings, folder, suffix, rate):
    headers = sorted((recordings / "ptbxl-native" / folder).rglob(f"*_{suffix}.hea"))
    assert len(headers) == 20
    for header in headers:
        ecg = read_ecg(header)
        reference = wfdb.rdrecord(str(header.with_suffix("")))
        assert (ecg.rate, ecg.leads, ecg.n_samples) == (rate, LEADS, 10 * rate)
        assert (ecg.source, ecg.record, ecg.notes) == (str(header), header.stem, ())
        assert [name.casefold() for name in reference.sig_name] == [lead.casefold() for lead in LEADS]
        np.testing.assert_array_equal(ecg.signal, reference.p_signal.T.astype(np.float32))


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_record_is_found_by_its_name_its_header_or_its_signal_file(tmp_path, suffix):
    digital = digital_signal()
    write_record(tmp_path, digital)
    ecg = read_ecg(tmp_path / f"rec{suffix}")
    np.testing.assert_allclose(ecg.signal, digital.T / 1000, rtol=1e-6)
    assert ecg.source == str(tmp_path / f"rec{suffix}")


@pytest.mark.parametrize("suffix", ["", ".hea", ".mat"])
def test_a_chapman_record_reads_from_its_matlab_matrix(tmp_path, suffix):
    digital = digital_signal()
    write_matlab_record(tmp_path, digital)
    ecg = read_ecg(tmp_path / f"JS00001{suffix}")
    np.testing.assert_allclose(ecg.signal, digital.T / 1000, rtol=1e-6)
    assert (ecg.record, ecg.rate, ecg.notes) == ("JS00001", 500, ())


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(LEADS),
    case=st.sampled_from([str, str.upper, str.lower, "Lead {}".format]),
    unit=st.sampled_from(sorted(UNITS)),
    gain=st.sampled_from([0.01, 0.5, 1.0, 200.0, 204.8, 1000.0, 4880.1]),
    baseline=st.integers(-500, 500),
    stored=st.sampled_from(["16", "16", "212", "32", "24", "80", "516"]),
    seed=st.integers(0, 999),
)
def test_any_order_case_unit_gain_and_format_gives_the_same_millivolts(order, case, unit, gain, baseline, stored, seed):
    digital = digital_signal(50, seed=seed, largest=120 if stored == "80" else 2000)
    expected = {lead: (column - baseline) / gain * UNITS[unit] for lead, column in zip(order, digital.T, strict=True)}
    with empty_folder() as folder:
        wfdb.wrsamp(
            "rec", 500, [unit] * 12, [case(lead) for lead in order], d_signal=digital, fmt=[stored] * 12,
            adc_gain=[gain] * 12, baseline=[baseline] * 12, write_dir=str(folder),
        )  # fmt: skip
        ecg = read_ecg(folder / "rec")
    assert (ecg.leads, ecg.notes) == (LEADS, ())
    for lead, row in zip(LEADS, ecg.signal, strict=True):
        np.testing.assert_allclose(row, expected[lead], rtol=1e-6, atol=1e-6 * UNITS[unit] / gain)


def test_a_sample_marked_as_missing_is_not_a_number(tmp_path):
    for stored, missing in (("16", -32768), ("212", -2048)):
        digital = digital_signal()
        digital[7, 3] = missing
        wfdb.wrsamp(
            "rec", 500, ["mV"] * 12, list(LEADS), d_signal=digital, fmt=[stored] * 12,
            adc_gain=[200.0] * 12, baseline=[0] * 12, write_dir=str(tmp_path),
        )  # fmt: skip
        assert np.argwhere(np.isnan(read_ecg(tmp_path / "rec").signal)).tolist() == [[3, 7]]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_micro_sign_makes_microvolts_whatever_its_encoding(tmp_path, encoding):
    digital = digital_signal()
    header = write_record(tmp_path, digital, scale="0.2(0)/µV")
    header.write_bytes(header.read_text(encoding="utf-8").encode(encoding))
    np.testing.assert_allclose(read_ecg(header).signal, digital.T * 5e-3, rtol=1e-6)


def test_other_channels_are_left_out_with_a_note(tmp_path):
    digital = digital_signal(n_leads=14)
    ecg = read_ecg(write_record(tmp_path, digital, leads=("RESP", *LEADS, "MCL1")))
    np.testing.assert_allclose(ecg.signal, digital.T[1:13] / 1000, rtol=1e-6)
    assert ecg.notes == ("ignored_channels: RESP, MCL1; not among the twelve leads",)


def test_eight_leads_become_twelve(tmp_path):
    digital = digital_signal(n_leads=8)
    ecg = read_ecg(write_record(tmp_path, digital, leads=("I", "II", *CHEST_LEADS)))
    assert max(ecg.einthoven_residual().values()) < 1e-6
    assert ecg.notes == ("derived_leads: III, aVR, aVL, aVF computed from I, II",)


def test_a_missing_chest_lead_is_refused_by_name(tmp_path):
    header = write_record(tmp_path, digital_signal(n_leads=7), leads=("I", "MLII", "III", "V1", "V2", "V3", "V4"))
    with pytest.raises(LeadError, match=r"lead V5, V6 missing \(found I, III, V1, V2, V3, V4; .*MLII\)"):
        read_ecg(header)


def test_leads_in_several_signal_files_are_put_together(tmp_path):
    digital = digital_signal()
    for file, part in (("a.dat", digital[:, :5]), ("b.dat", digital[:, 5:])):
        (tmp_path / file).write_bytes(part.astype("<i2").tobytes())
    lines = [f"{'a' if n < 5 else 'b'}.dat 16 1000/mV 16 0 0 0 0 {lead}" for n, lead in enumerate(LEADS)]
    (tmp_path / "rec.hea").write_text("\n".join(["rec 12 500 700", *lines]))
    np.testing.assert_allclose(read_ecg(tmp_path / "rec").signal, digital.T / 1000, rtol=1e-6)


def test_leads_of_another_rate_than_the_other_channels_keep_theirs(tmp_path):
    digital = digital_signal(600, 12)
    leads = ("I", "II", *CHEST_LEADS)
    signal = [np.asarray(column) for column in digital[:, :8].T] + [np.arange(300)]
    wfdb.wrsamp(
        "rec", 250, ["mV"] * 8 + ["mmHg"], [*leads, "ABP"], e_d_signal=signal, samps_per_frame=[2] * 8 + [1],
        fmt=["16"] * 9, adc_gain=[1000.0] * 9, baseline=[0] * 9, write_dir=str(tmp_path),
    )  # fmt: skip
    ecg = read_ecg(tmp_path / "rec", rate=500)
    assert (ecg.rate, ecg.n_samples) == (500, 600)
    np.testing.assert_allclose(ecg.select(leads).signal, digital[:, :8].T / 1000, rtol=1e-6)


def test_leads_of_different_rates_are_refused(tmp_path):
    signal = [np.arange(300)] + [np.arange(600)] * 11
    wfdb.wrsamp(
        "rec", 250, ["mV"] * 12, list(LEADS), e_d_signal=signal, samps_per_frame=[1] + [2] * 11,
        fmt=["16"] * 12, adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(tmp_path),
    )  # fmt: skip
    with pytest.raises(FormatError, match="samples per frame \\(I 1, II 2"):
        read_ecg(tmp_path / "rec")


@pytest.mark.parametrize("name", ["header.txt", "rec.HEA", "rec"])
@pytest.mark.parametrize("stored", ["16", "32"])
def test_a_renamed_header_is_read(tmp_path, name, stored):
    digital = digital_signal()
    header = write_record(tmp_path, digital, stored=stored)
    (tmp_path / "rec.dat").write_bytes(digital.astype(f"<i{int(stored) // 8}").tobytes())
    ecg = read_ecg(header.rename(tmp_path / name))
    np.testing.assert_allclose(ecg.signal, digital.T / 1000, rtol=1e-6)
    assert ecg.source == str(tmp_path / name)


@pytest.mark.parametrize("clock", ["12:30:00 01/02/2020", "05-Feb-2020 11:39:16", "75:00 99/99/9999"])
@pytest.mark.parametrize("stored", ["16", "32"])
def test_no_clock_time_keeps_a_record_from_being_read(tmp_path, clock, stored):
    digital = digital_signal()
    header = write_record(tmp_path, digital, stored=stored, first=f"rec 12 500 700 {clock}")
    (tmp_path / "rec.dat").write_bytes(digital.astype(f"<i{int(stored) // 8}").tobytes())
    np.testing.assert_allclose(read_ecg(header).signal, digital.T / 1000, rtol=1e-6)


def test_a_header_without_a_number_of_samples_takes_all_there_are(tmp_path):
    digital = digital_signal()
    header = write_record(tmp_path, digital, first="rec 12 500")
    np.testing.assert_allclose(read_ecg(header).signal, digital.T / 1000, rtol=1e-6)


def test_a_rate_that_the_header_lacks_must_be_given(tmp_path):
    header = write_record(tmp_path, digital_signal(), first="rec 12")
    with pytest.raises(FormatError, match=r"rate is not stated.*rate="):
        read_ecg(header)
    assert read_ecg(header, rate=360).rate == 360


@pytest.mark.parametrize(("scale", "baseline"), [("1000/mV 16 7", 7), ("1000(3)/mV 16 7", 3), ("1000/mV 16 0", 0)])
def test_a_baseline_that_the_header_lacks_is_its_adc_zero(tmp_path, scale, baseline):
    digital = digital_signal()
    header = write_record(tmp_path, digital)
    header.write_text(header.read_text().replace("1000(0)/mV 16 0", scale))
    np.testing.assert_allclose(read_ecg(header).signal, (digital.T - baseline) / 1000, rtol=1e-5)


def test_a_gain_that_the_header_lacks_is_reported(tmp_path):
    digital = digital_signal()
    for scale in ("0/mV", "0"):
        ecg = read_ecg(write_record(tmp_path, digital, scale=scale))
        np.testing.assert_allclose(ecg.signal, digital.T / 200, rtol=1e-6)
        assert ecg.notes[0].startswith("uncalibrated: the header states no gain for I, II, III")


def test_an_altered_sample_is_reported(tmp_path):
    digital = digital_signal()
    header = write_record(tmp_path, digital)
    digital[5, 2] += 1
    (tmp_path / "rec.dat").write_bytes(digital.astype("<i2").tobytes())
    assert read_ecg(header).notes[0].startswith("checksum: III differ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 250}, "500 Hz, but rate=250"),
        ({"unit": "uV"}, "'mV', but unit='uV'"),
        ({"leads": LEADS[::-1]}, "leads=V6 V5"),
        ({"record": "other"}, "'other'.*'rec'"),
    ],
)
def test_what_contradicts_the_header_is_refused(tmp_path, options, message):
    header = write_record(tmp_path, digital_signal())
    with pytest.raises(FormatError, match=message):
        read_ecg(header, **options)
    agreeing = {"rate": 500, "unit": "millivolt", "leads": [lead.lower() for lead in LEADS], "record": "rec"}
    assert read_ecg(header, **agreeing).rate == 500


def test_leads_name_the_channels_of_a_header_that_does_not(tmp_path):
    header = write_record(tmp_path, digital_signal(), leads=[f"channel {n}" for n in range(12)])
    with pytest.raises(LeadError, match="none of the twelve"):
        read_ecg(header)
    assert read_ecg(header, leads=LEADS).leads == LEADS


BROKEN = {
    "first line not a record line": (("rec 12 500 700", "rec twelve 500 700"), "first line .*'rec twelve 500 700'"),
    "more signals announced than listed": (("rec 12 ", "rec 13 "), "announces 13 signals, and 12 signal lines"),
    "fewer signals announced than listed": (("rec 12 ", "rec 2 "), "announces 2 signals"),
    "several segments": (("rec 12 ", "rec/3 12 "), "3 segments.*read the header of one segment"),
    "a rate of zero": (("500 700", "0 700"), "rate is 0.0; expected a positive"),
    "no samples": (("500 700", "500 0"), "0 samples"),
    "more samples than stored": (("500 700", "500 701"), "16800 bytes; expected at least 16824 for 701 samples"),
    "an absurd number of samples": (("500 700", "500 999999999999"), "16800 bytes; expected at least"),
    "an unknown format": (("rec.dat 16 ", "rec.dat 17 "), "the format of signal 1 .*'17'"),
    "a gain with a comma": (("1000(0)/mV", "1,000(0)/mV"), "the gain of signal 1 .*'1,000\\(0\\)/mV'"),
    "a unit that is not a voltage": (("/mV", "/mmHg"), "the unit of signal I is 'mmHg'"),
    "another signal file": (("rec.dat", "other.dat"), "signal file other.dat.*not beside it"),
    "a signal file elsewhere": (("rec.dat", "../rec.dat"), "the signal file of signal 1 .*'../rec.dat'"),
    "no signal file": (("rec.dat", "~"), "the signal file of signal 1 .*'~'"),
    "a skew beyond the record": (("rec.dat 16 ", "rec.dat 16:700 "), "skew"),
    "no sample in a frame": (("rec.dat 16 ", "rec.dat 16x0 "), "samples per frame of signal 1"),
    "an offset beyond the file": (("rec.dat 16 ", "rec.dat 16+20000 "), "cut off"),
    "a gain that makes the amplitude absurd": (("1000(0)", "1e-300(0)"), "the unit or the gain is wrong"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_header_that_is_wrong_is_refused_naming_what(tmp_path, change, message):
    header = write_record(tmp_path, digital_signal())
    header.write_text(header.read_text().replace(*change))
    with pytest.raises(FormatError, match=message) as caught:
        read_ecg(header)
    assert str(header) in str(caught.value)


@pytest.mark.parametrize("stored", ["16", "212", "32", "516"])
def test_a_signal_file_that_is_cut_off_is_refused(tmp_path, stored):
    wfdb.wrsamp(
        "rec", 500, ["mV"] * 12, list(LEADS), d_signal=digital_signal(), fmt=[stored] * 12,
        adc_gain=[200.0] * 12, baseline=[0] * 12, write_dir=str(tmp_path),
    )  # fmt: skip
    assert read_ecg(tmp_path / "rec").n_samples == 700
    file = tmp_path / wfdb.rdheader(str(tmp_path / "rec")).file_name[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(FormatError, match="rec"):
        read_ecg(tmp_path / "rec")


def test_a_signal_file_without_its_header_is_refused_naming_the_header(tmp_path):
    for header, suffix in (
        (write_record(tmp_path, digital_signal()), ".dat"),
        (write_matlab_record(tmp_path, digital_signal()), ".mat"),
    ):
        header.unlink()
        with pytest.raises(FormatError, match=f"{header.stem}{suffix}: .*{header.name} beside it"):
            read_ecg(header.with_suffix(suffix))


def test_a_header_cut_off_after_its_first_line_is_refused(tmp_path):
    (tmp_path / "rec.hea").write_text("rec 12 500 700\n")
    with pytest.raises(FormatError, match="announces 12 signals, and 0 signal lines follow"):
        read_ecg(tmp_path / "rec")


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_matlab_matrix_that_is_not_as_the_header_says_is_refused(tmp_path, version):
    digital = digital_signal()
    header = write_matlab_record(tmp_path, digital)
    savemat(tmp_path / "JS00001.mat", {"val": digital.T / 1000}, format=version)
    with pytest.raises(FormatError, match=r"JS00001.mat is (not the MATLAB 4 matrix|a MATLAB 5 file)"):
        read_ecg(header)


def test_a_matlab_matrix_the_other_way_round_is_refused(tmp_path):
    digital = digital_signal()
    header = write_matlab_record(tmp_path, digital)
    savemat(tmp_path / "JS00001.mat", {"val": digital.astype("<i2")}, format="4")
    with pytest.raises(FormatError, match="not the MATLAB 4 matrix of 12 x 700"):
        read_ecg(header)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_header_raises_nothing_but_a_reason(data):
    with empty_folder() as folder:
        header = write_record(folder, digital_signal(30))
        text = bytearray(header.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(text) - 1))
            piece = data.draw(
                st.binary(max_size=4) | st.sampled_from([b"9" * 5000, b" ", b"-", b"x", b":", b"+", b"/", b"\n"])
            )
            text[at : at + data.draw(st.integers(0, 4))] = piece
        header.write_bytes(text)
        try:
            ecg = read_ecg(header)
        except (FormatError, LeadError) as error:
            assert str(header) in str(error)  # noqa: PT017  (either outcome is right)
        else:
            assert ecg.leads == LEADS
