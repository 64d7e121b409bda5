"""Long recordings in pieces: the same samples as in one go, whatever the format, and checksums all the same."""

from datetime import datetime, time

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.errors import FormatError
from ecoscale.formats import read_ecg
from ecoscale.formats.long_records import open_long_record, parse_clock

LEADS = ("II", "V1", "V5")


@pytest.fixture(scope="module")
def signal():
    """21.4 s of three leads at 250 Hz."""
    return synthetic_ecg(("AF",), rate=250, duration=21.4, seed=3).ecg.select(LEADS).signal


def written(folder, signal, *, fmt="16", name="rec", leads=LEADS, **options):
    wfdb.wrsamp(
        name,
        fs=250,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=signal.T.astype(float),
        fmt=[fmt] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
        **options,
    )
    return folder / f"{name}.hea"


def joined(record, seconds):
    return np.concatenate(list(record.pieces(seconds)), axis=1)


@pytest.mark.parametrize("fmt", ["16", "212", "24", "516"])
@pytest.mark.parametrize("seconds", [0.5, 7.0, 100.0])
def test_pieces_of_a_wfdb_record_are_the_whole(tmp_path, signal, fmt, seconds):
    missing = signal.copy()
    missing[1, 300:400] = np.nan
    header = written(tmp_path, missing, fmt=fmt)
    whole = read_ecg(header, fewer_leads=True)
    record = open_long_record(header)
    assert (record.leads, record.rate, record.n_samples, record.record) == (LEADS, 250, 5350, "rec")
    np.testing.assert_array_equal(joined(record, seconds), whole.signal)
    assert record.remarks == []
    assert record.notes == whole.notes


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_a_checksum_that_differs_is_found_when_all_was_read(tmp_path, signal, fmt):
    header = written(tmp_path, signal, fmt=fmt)
    data = bytearray(header.with_suffix(".dat").read_bytes())
    data[3000] ^= 4
    header.with_suffix(".dat").write_bytes(bytes(data))
    record = open_long_record(header)
    joined(record, 3)
    assert [remark.partition(":")[0] for remark in record.remarks] == ["checksum"]
    assert record.remarks[0] in read_ecg(header, fewer_leads=True).notes
    joined(record, 3)
    assert len(record.remarks) == 1


def test_of_a_record_with_several_samples_a_frame_pieces_are_the_whole(tmp_path, signal):
    written(tmp_path, signal, fmt="16")
    text = (tmp_path / "rec.hea").read_text().splitlines()
    digital = np.fromfile(tmp_path / "rec.dat", "<i2").reshape(-1, 3)
    # Two samples of each signal in turn.
    digital.reshape(-1, 2, 3).swapaxes(1, 2).astype("<i2").tofile(tmp_path / "rec.dat")
    lines = ["rec 3 125 2675", *(line.replace(" 16 ", " 16x2 ", 1) for line in text[1:4])]
    (tmp_path / "rec.hea").write_text("\n".join(lines) + "\n")
    record = open_long_record(tmp_path / "rec.hea")
    assert (record.rate, record.n_samples) == (250, 5350)
    np.testing.assert_array_equal(joined(record, 4), read_ecg(tmp_path / "rec.hea", fewer_leads=True).signal)


def test_limb_leads_are_derived_in_pieces_as_in_the_whole(tmp_path):
    ecg = synthetic_ecg(rate=250, duration=12, seed=1).ecg
    eight = ("I", "II", *ecg.leads[6:])
    header = written(tmp_path, ecg.select(eight).signal, leads=eight)
    record, whole = open_long_record(header), read_ecg(header)
    assert record.leads == whole.leads == ecg.leads
    assert record.notes == whole.notes
    np.testing.assert_allclose(joined(record, 5), whole.signal, atol=1e-6)


@pytest.mark.parametrize("shape", ["leads first", "samples first"])
def test_a_npy_array_is_read_from_where_it_lies(tmp_path, signal, shape):
    np.save(tmp_path / "ecg.npy", 1000 * (signal if shape == "leads first" else signal.T))
    options = {"rate": 250, "unit": "uV", "leads": LEADS}
    record = open_long_record(tmp_path / "ecg.npy", **options)
    whole = read_ecg(tmp_path / "ecg.npy", fewer_leads=True, **options)
    np.testing.assert_array_equal(joined(record, 4), whole.signal)


def test_any_other_format_is_read_whole(recordings, tmp_path, signal):
    rows = "\n".join(",".join(f"{value:.4f}" for value in sample) for sample in signal.T)
    (tmp_path / "ecg.csv").write_text(f"II (mV),V1 (mV),V5 (mV)\n{rows}\n")
    record = open_long_record(tmp_path / "ecg.csv", rate=250)
    np.testing.assert_allclose(joined(record, 4), signal, atol=1e-4)
    exams = open_long_record(recordings / "code15" / "exams_part0.hdf5", record=438277)
    assert len(exams.leads) == 12


class TestSegments:
    @pytest.fixture
    def segmented(self, tmp_path, signal):
        """Two segments with a gap of 4 s between, the second without V1."""
        written(tmp_path, signal[:, :2000], name="s_0001")
        written(tmp_path, signal[[0, 2], 3000:], name="s_0002", fmt="212", leads=("II", "V5"))
        (tmp_path / "s_layout.hea").write_text("s_layout 3 250 0\n" + "~ 0 200 16 0 0 0 0 II\n" * 3)
        header = tmp_path / "s.hea"
        header.write_text("s/4 3 250 5350 22:05:00 31/12/2023\ns_layout 0\ns_0001 2000\n~ 1000\ns_0002 2350\n")
        return header

    def test_a_record_is_its_segments_with_what_was_not_recorded_missing(self, segmented, signal):
        record = open_long_record(segmented)
        assert (record.record, record.n_samples, record.leads) == ("s", 5350, LEADS)
        assert record.start == datetime(2023, 12, 31, 22, 5)
        assert record.clock(2 * 3600) == "2024-01-01 00:05:00"
        found = joined(record, 3)
        expected = np.round(200 * signal) / 200
        expected[:, 2000:3000] = np.nan
        expected[1, 3000:] = np.nan
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert record.remarks == []

    def test_the_remark_on_a_checksum_names_the_segment(self, segmented):
        path = segmented.parent / "s_0001.dat"
        path.write_bytes(b"\x01" + path.read_bytes()[1:])
        record = open_long_record(segmented)
        joined(record, 3)
        assert record.remarks[0].endswith("(segment s_0001)")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "s_0001 2000\n~ 1000",
                "s_0001 1999\n~ 1001",
                "s_0001 has 2000 samples by its own header; expected 1999",
            ),
            ("s_0001 2000", "s_0009 2000", "s.hea: segment s_0009: .*cannot be read"),
            ("3 250 5350", "3 360 5350", "its segments have 250 Hz, and the header of them all says 360"),
            ("3 250 5350", "3 250 5351", "states 5351 samples, and its segments have 5350 together"),
            ("s_0001 2000\n~ 1000\ns_0002 2350", "~ 3000\n~ 2000\n~ 350", "all 4 segments of the WFDB record are gaps"),
            ("s/4", "s/5", "announces 5 segments, and 4 lines follow"),
            ("~ 1000", "~ many", "segment 3 in the WFDB header is '~ many'; expected 'RECORD N_SAMPLES'"),
        ],
    )
    def test_what_does_not_fit_together_is_refused_by_name(self, segmented, old, new, message):
        segmented.write_text(segmented.read_text().replace(old, new))
        with pytest.raises(FormatError, match=message):
            open_long_record(segmented)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08:30:00 01/02/2024", datetime(2024, 2, 1, 8, 30)),
        ("8:05:09.5", time(8, 5, 9, 500_000)),
        ("23:59:59 00/00/0000", time(23, 59, 59)),
        ("", None),
        ("noon", None),
        ("25:00:00", None),
        ("9:30", None),
    ],
)
def test_the_start_is_a_date_with_time_a_time_or_not_known(text, expected):
    assert parse_clock(text) == expected


@given(st.text(max_size=30))
def test_any_text_for_a_clock_is_a_start_or_none(text):
    assert parse_clock(text) is None or isinstance(parse_clock(text), (datetime, time))


def test_what_is_not_there_is_refused_as_read_ecg_does(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        open_long_record(tmp_path / "nothing.hea")
