"""ISHNE Holter files, built to the text of the paper and compared with the reader of ecgdatakit."""

import binascii
import struct
import tracemalloc
from datetime import datetime, time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.long_records import open_long_record

CODES = {lead: code for code, lead in enumerate(LEADS, 5)}


def ishne(digital, codes, *, rate=200, nanovolts=2500, block=b"a comment", stated=None, date=(24, 12, 2019)):
    """A file of `digital` `(samples, leads)`."""
    n_samples, n_leads = digital.shape
    numbers = (*codes, *[-9] * (12 - n_leads))
    resolutions = (*[nanovolts] * n_leads, *[-9] * (12 - n_leads))
    header = struct.pack("<iiiih", len(block), n_samples if stated is None else stated, 522, 522 + len(block), 1)
    header += b"Jane".ljust(40, b"\0") + b"Doe".ljust(40, b"\0") + b"42".ljust(20, b"\0")
    header += struct.pack("<hh3h3h3h3hh", 2, 1, 1, 2, 1950, *date, 1, 1, 2020, 8, 30, 15, n_leads)
    header += struct.pack("<12h12h12hh", *numbers, *[1] * 12, *resolutions, 0)
    header += b"digital".ljust(40, b"\0") + struct.pack("<h", rate)
    header = header.ljust(512, b"\0") + block
    checksum = struct.pack("<H", binascii.crc_hqx(header, 0xFFFF))
    return b"ISHNE1.0" + checksum + header + digital.astype("<i2").tobytes()


@pytest.fixture
def digital():
    return np.random.default_rng(1).integers(-2000, 2000, (4000, 12))


@pytest.fixture
def save(tmp_path):
    def save(data, name="holter.ecg"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return save


def test_samples_are_those_of_the_file_in_millivolts(digital, save):
    ecg = read_ecg(save(ishne(digital, CODES.values())))
    assert (ecg.rate, ecg.leads, ecg.notes) == (200, LEADS, ())
    np.testing.assert_array_equal(ecg.signal, (digital.T * 2500e-6).astype(np.float32))


def test_samples_are_those_of_an_independent_reader(digital, save):
    kit = pytest.importorskip("ecgdatakit.parsing.parsers.ishne_holter")
    path = save(ishne(digital, CODES.values()))
    theirs = kit.ISHNEHolterParser().parse(path)
    assert [lead.label for lead in theirs.leads] == list(LEADS)
    # Theirs are steps of so many microvolts.
    microvolts = np.array([lead.samples * lead.resolution for lead in theirs.leads])
    np.testing.assert_allclose(read_ecg(path).signal, microvolts / 1000, rtol=1e-6)


def test_leads_in_another_order_end_in_the_canonical_one_and_others_are_noted(digital, save):
    codes = [*list(CODES.values())[::-1][:11], 17]
    path = save(ishne(digital, codes))
    ecg = read_ecg(path, fewer_leads=True)
    np.testing.assert_allclose(ecg.signal[-1], digital[:, 0] * 2500e-6, rtol=1e-6)
    assert ecg.notes[0] == "ignored_channels: ES (17); not among the twelve leads"


def test_leads_without_a_name_have_to_be_given(digital, save):
    path = save(ishne(digital[:, :3], [0, 1, 1]))
    with pytest.raises(FormatError, match=r"'unknown \(0\)', 'bipolar \(1\)'.*give leads="):
        read_ecg(path, fewer_leads=True)
    ecg = read_ecg(path, leads=["V5", "V1", "II"], fewer_leads=True)
    assert ecg.leads == ("II", "V1", "V5")
    np.testing.assert_allclose(ecg.signal[0], digital[:, 2] * 2500e-6, rtol=1e-6)


def test_a_failed_lead_is_missing_samples(digital, save):
    digital[7, 3] = -32768
    assert np.argwhere(np.isnan(read_ecg(save(ishne(digital, CODES.values()))).signal)).tolist() == [[3, 7]]


def test_a_header_that_was_altered_is_noted(digital, save):
    data = bytearray(ishne(digital, CODES.values()))
    data[30] ^= 1
    assert read_ecg(save(data)).notes == ("checksum: the ISHNE header differs from its checksum; it was altered",)
    data[8:10] = b"\0\0"  # none was computed
    assert read_ecg(save(data)).notes == ()


@pytest.mark.parametrize("stated", [4000, 48000])
def test_the_number_of_samples_may_be_of_one_lead_or_of_all(digital, save, stated):
    assert read_ecg(save(ishne(digital, CODES.values(), stated=stated))).notes == ()


def test_a_file_of_another_length_than_its_header_says_is_noted(digital, save):
    data = ishne(digital, CODES.values())[: -24 * 1000 - 3]
    ecg = read_ecg(save(data))
    assert ecg.n_samples == 2999
    assert ecg.notes[0].startswith("length: the ISHNE header states 4000 samples, and the file holds 2999 of each")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (10, struct.pack("<i", 10**9), "variable block of 1000000000 bytes"),
        (156, struct.pack("<h", 13), "13 leads; expected 1 to 12"),
        (206, struct.pack("<h", 0), "the resolution of I .* is 0"),
        (272, struct.pack("<h", 0), "sampling rate is 0"),
    ],
)
def test_a_header_that_cannot_be_is_refused(digital, save, at, value, message):
    data = ishne(digital, CODES.values())
    with pytest.raises(FormatError, match=message):
        read_ecg(save(data[:at] + value + data[at + len(value) :]))


@pytest.mark.parametrize("length", [10, 521, 522 + 9])
def test_a_file_without_samples_is_refused(digital, save, length):
    with pytest.raises(FormatError, match=r"holter\.ecg"):
        read_ecg(save(ishne(digital, CODES.values())[:length]))


@pytest.mark.parametrize("options", [{"rate": 500}, {"unit": "mV"}, {"leads": LEADS[::-1]}, {"record": "1"}])
def test_what_contradicts_the_file_is_refused(digital, save, options):
    with pytest.raises(FormatError, match=r"was (given|asked for)"):
        read_ecg(save(ishne(digital, CODES.values())), **options)


def test_pieces_are_the_whole_and_the_clock_starts_at_the_header_s(digital, save):
    path = save(ishne(digital[:, :3], [6, 11, 15]))
    record = open_long_record(path)
    assert (record.leads, record.n_samples, record.duration) == (("II", "V1", "V5"), 4000, 20)
    assert record.start == datetime(2019, 12, 24, 8, 30, 15)
    pieces = list(record.pieces(3))
    assert len(pieces) == 7
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), read_ecg(path, fewer_leads=True).signal)


def test_a_date_that_is_none_leaves_the_time(digital, save):
    assert open_long_record(save(ishne(digital, CODES.values(), date=(0, 0, 0)))).start == time(8, 30, 15)


def test_a_recording_that_is_too_long_is_refused_before_it_is_in_memory(digital, save):
    with pytest.raises(FormatError, match="ecoscale timeline"):
        read_ecg(save(ishne(digital, CODES.values())), longest=19)


def test_a_folder_yields_it(digital, save, tmp_path):
    save(ishne(digital, CODES.values()))
    assert len(list(find_recordings([tmp_path]))) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path, digital, data):
    whole = bytearray(ishne(digital[:100], CODES.values()))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(8, 600))] = data.draw(st.integers(0, 255))
    path = tmp_path / "holter.ecg"
    path.write_bytes(whole[: data.draw(st.integers(100, len(whole)))])
    reason = "holter.ecg"
    try:
        assert read_ecg(path, fewer_leads=True).signal.size
    except EcoscaleError as error:
        reason = str(error)
    assert "holter.ecg" in reason


def test_memory_does_not_grow_with_the_length(digital, save):
    peaks = []
    for times in (6, 60):
        path = save(ishne(np.tile(digital, (times, 1)), CODES.values()))
        tracemalloc.start()
        assert sum(piece.shape[1] for piece in open_long_record(path).pieces(10)) == 4000 * times
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The 18 minutes more take 5.2 MB as they are stored.
    assert peaks[1] < peaks[0] + 1_000_000
