"""SCP-ECG records, built to the text of EN 1064 and compared with the reader of ecgdatakit."""

import binascii
import struct
from datetime import datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError, LeadError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.long_records import open_long_record

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
CODES = dict(zip(EIGHT, range(1, 9), strict=True)) | {"III": 61, "aVR": 62, "aVL": 63, "aVF": 64}
NANOVOLTS = 5000


@pytest.fixture(scope="module")
def digital():
    """8 s of eight leads at 500 Hz, in steps of 5 uV."""
    signal = synthetic_ecg(rate=500, duration=8, seed=4).ecg.select(EIGHT).signal
    return np.round(signal * 1e6 / NANOVOLTS).astype(int)


def differences(samples, encoding):
    if not encoding:
        return samples
    first = np.diff(samples, prepend=0)
    if encoding == 1:
        return first
    return np.concatenate([samples[:2], np.diff(samples, n=2)])


def default_code(value):
    """Annex C: 0, then so many ones as the value is large, a zero and the sign; then 8 or 16 bits as they are."""
    if value == 0:
        return "0"
    if abs(value) <= 8:
        return "1" * abs(value) + "0" + ("1" if value < 0 else "0")
    if -128 <= value < 128:
        return "1111111110" + f"{value & 0xFF:08b}"
    return "1111111111" + f"{value & 0xFFFF:016b}"


def packed(values, code):
    bits = "".join(map(code, values.tolist()))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8) if bits else b""


def with_checksum(data):
    return struct.pack("<H", binascii.crc_hqx(data, 0xFFFF)) + data


def section(number, content):
    content += b"\0" * (len(content) % 2)
    return with_checksum(struct.pack("<HIBB6x", number, 16 + len(content), 20, 20) + content)


def encoded(leads, *, encoding, huffman, interval=2000, nanovolts=NANOVOLTS, bimodal=0):
    values = [differences(np.asarray(lead), encoding) for lead in leads]
    parts = [packed(lead, huffman) if huffman else lead.astype("<i2").tobytes() for lead in values]
    lengths = struct.pack(f"<{len(parts)}H", *map(len, parts))
    return struct.pack("<HHBB", nanovolts, interval, encoding, bimodal) + lengths + b"".join(parts)


def record(sections):
    """A whole record of these sections: `{number: content}`."""
    made = {number: section(number, content) for number, content in sorted(sections.items())}
    at, pointers = 7 + 16 + 10 * 12, []
    for number in range(1, 12):
        length = len(made.get(number, b""))
        pointers.append(struct.pack("<HII", number, length, at if length else 0))
        at += length
    own = struct.pack("<HII", 0, 16 + 120, 7) + b"".join(pointers)
    first = with_checksum(struct.pack("<HIBB6s", 0, 16 + 120, 20, 20, b"SCPECG") + own)
    body = first + b"".join(made.values())
    return with_checksum(struct.pack("<I", 6 + len(body)) + body)


def definition(codes, n_samples, flags=4, first=1):
    spans = (struct.pack("<IIB", first, first + n_samples - 1, code) for code in codes)
    return bytes([len(codes), flags]) + b"".join(spans)


HEADER = (
    b"\x02\x03\x0042\0" + b"\x19\x04\x00" + struct.pack("<HBB", 2018, 7, 9) + b"\x1a\x03\x00\x0c\x1e\x05" + b"\xff\0\0"
)
DEFAULT_TABLE = struct.pack("<H", 19999)


def scp(digital, *, encoding=0, huffman=None, table=None, leads=EIGHT, **more):
    sections = {1: HEADER}
    if table is not None or huffman:
        sections[2] = DEFAULT_TABLE if table is None else table
    sections[3] = definition([CODES[lead] for lead in leads], digital.shape[1])
    sections[6] = encoded(digital, encoding=encoding, huffman=huffman, **more)
    return record(sections)


@pytest.fixture
def save(tmp_path):
    def save(data, name="ecg.scp"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return save


def independent(path):
    """Leads by name in mV, as ecgdatakit reads them."""
    kit = pytest.importorskip("ecgdatakit.parsing.parsers.scp_ecg")
    # Its resolution is microvolts a step.
    return {each.label: each.samples * each.resolution / 1000 for each in kit.SCPECGParser().parse(path).leads}


@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("huffman", [None, default_code], ids=["plain", "huffman"])
def test_samples_are_those_that_were_packed_and_those_of_an_independent_reader(digital, save, encoding, huffman):
    path = save(scp(digital, encoding=encoding, huffman=huffman))
    ecg = read_ecg(path)
    assert (ecg.rate, ecg.leads, ecg.n_samples) == (500, LEADS, 4000)
    assert ecg.notes == ("derived_leads: III, aVR, aVL, aVF computed from I, II",)
    np.testing.assert_array_equal(ecg.select(EIGHT).signal, (digital * (NANOVOLTS * 1e-6)).astype(np.float32))
    theirs = independent(path)
    np.testing.assert_allclose(ecg.select(EIGHT).signal, [theirs[lead] for lead in EIGHT], rtol=1e-6)


def test_all_twelve_by_their_codes_in_another_order(save):
    ecg = synthetic_ecg(rate=500, duration=6, seed=4).ecg
    digital = np.round(ecg.signal * 200).astype(int)
    found = read_ecg(save(scp(digital[::-1], leads=LEADS[::-1])))
    assert found.notes == ()
    np.testing.assert_allclose(found.signal, digital / 200, rtol=1e-6)


def table_of(codes):
    """Section 2 with one table: `(prefix, bits in all, value)`; the first bit is stored as the lowest."""
    rows = (struct.pack("<BBBhI", len(p), n, 1, value, int(p[::-1], 2)) for p, n, value in codes)
    return struct.pack("<HH", 1, len(codes)) + b"".join(rows)


def test_a_table_of_the_maker_s_own_is_used(digital, save):
    table = table_of([("00", 2, 0), ("01", 2, 1), ("10", 2, -1), ("11", 18, 0)])
    short = {0: "00", 1: "01", -1: "10"}
    path = save(scp(digital, encoding=2, huffman=lambda v: short.get(v) or "11" + f"{v & 0xFFFF:016b}", table=table))
    np.testing.assert_allclose(read_ecg(path).select(EIGHT).signal, digital * 0.005, rtol=1e-6)
    np.testing.assert_allclose(independent(path)["V3"], digital[4] * 0.005, rtol=1e-6)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([("0", 1, 0), ("01", 2, 1)], "is the beginning of another"),
        ([("0", 1, 0), ("0", 1, 1)], "is the beginning of another"),
        ([("0", 40, 0)], "a Huffman code of 40 bits, 1 of them its prefix"),
        ([("0", 1, 0)], "a code that is in no table"),
        ([("0", 5, 3), ("1", 1, 0)], "add a number to a base value"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(digital, save, codes, message):
    ones = {6: encoded(digital, encoding=1, huffman=lambda v: "01" * (1 + (v != 0)))}
    data = {2: table_of(codes), 3: definition([CODES[lead] for lead in EIGHT], digital.shape[1])} | ones
    with pytest.raises(FormatError, match=message):
        read_ecg(save(record(data)))


def test_a_change_of_table_is_refused(digital, save):
    table = table_of([("0", 1, 0), ("1", 1, 2)])
    table = table[:4] + struct.pack("<BBBhI", 1, 1, 0, 2, 0) + table[13:]
    with pytest.raises(FormatError, match="change to another table"):
        read_ecg(save(scp(digital, huffman=default_code, table=table)))


def subtracted(digital, *, beat_interval=2000, beat_nanovolts=NANOVOLTS, bimodal=0, changes=None):
    """A record whose QRS complexes were subtracted: a beat of 300 ms with its fiducial point at sample 60.

    `changes` are other contents of sections; None leaves one out.
    """
    length, fiducial = 150, 60
    beat = np.random.default_rng(2).integers(-300, 300, (8, length))
    centres = [200, 900, 1700, 3990]
    residual = digital.copy()
    located = struct.pack("<HHH", 300, fiducial, len(centres))
    for number, centre in enumerate(centres):
        begin, end = max(1, centre - 50), min(digital.shape[1], centre + 80)
        located += struct.pack("<HIII", 1 if number == 1 else 0, begin, centre, end)
        if number != 1:  # of another type: not subtracted
            origin = centre - fiducial + 1
            factor = beat_nanovolts // NANOVOLTS
            residual[:, begin - 1 : end] -= factor * beat[:, begin - origin : end - origin + 1]
    located += b"".join(struct.pack("<II", centre - 20, centre + 20) for centre in centres)
    sections = {
        1: HEADER,
        2: DEFAULT_TABLE,
        3: definition([CODES[lead] for lead in EIGHT], digital.shape[1], flags=5),
        4: located,
        5: encoded(beat, encoding=1, huffman=default_code, interval=beat_interval, nanovolts=beat_nanovolts),
        6: encoded(residual, encoding=2, huffman=default_code, bimodal=bimodal),
    }
    sections |= changes or {}
    return record({number: content for number, content in sections.items() if content is not None})


@pytest.mark.parametrize("beat_nanovolts", [NANOVOLTS, 2 * NANOVOLTS])
def test_the_reference_beat_is_added_again(digital, save, beat_nanovolts):
    path = save(subtracted(digital, beat_nanovolts=beat_nanovolts))
    np.testing.assert_allclose(read_ecg(path).select(EIGHT).signal, digital * 0.005, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(independent(path)["V2"], digital[3] * 0.005, rtol=1e-6, atol=1e-9)


def test_a_beat_that_is_not_where_it_was_subtracted_is_refused(digital, save):
    with pytest.raises(FormatError, match="has no section 5"):
        read_ecg(save(subtracted(digital, changes={5: None})))
    located = struct.pack("<HHH", 300, 151, 0)
    with pytest.raises(FormatError, match="its fiducial point at sample 151"):
        read_ecg(save(subtracted(digital, changes={4: located})))
    located = struct.pack("<HHH", 300, 60, 1) + struct.pack("<HIII", 0, 100, 400, 500)
    with pytest.raises(FormatError, match="subtracts samples 100 to 500 of a beat that lies at 341 to 490"):
        read_ecg(save(subtracted(digital, changes={4: located})))


def test_bimodal_compression_is_refused_and_not_guessed(digital, save):
    with pytest.raises(FormatError, match="every 2000 us outside the QRS complexes and every 1000 us in them"):
        read_ecg(save(subtracted(digital, beat_interval=1000, bimodal=1)))
    # Said to be so, but with as many samples everywhere.
    assert read_ecg(save(subtracted(digital, bimodal=1))).n_samples == 4000
    with pytest.raises(FormatError, match="every unknown us in them"):
        read_ecg(save(scp(digital, bimodal=1)))


def test_leads_of_another_time_are_not_put_together(digital, save):
    spans = definition([1, 2], 4000) + definition(range(3, 9), 4000, first=4001)[2:]
    data = record({3: bytes([8]) + spans[1:], 6: encoded(digital, encoding=0, huffman=None)})
    with pytest.raises(FormatError, match="those recorded one after the other are not put together"):
        read_ecg(save(data))


def test_other_leads_are_noted_and_missing_ones_named(digital, save):
    sections = {3: definition([*range(1, 8), 17], 4000), 6: encoded(digital, encoding=0, huffman=None)}
    with pytest.raises(LeadError, match=r"lead V6 missing .*SCP-ECG lead 17"):
        read_ecg(save(record(sections)))
    assert read_ecg(save(record(sections)), fewer_leads=True).notes[0].startswith("ignored_channels: SCP-ECG lead 17")


def test_a_checksum_that_differs_is_noted_and_none_is_none(digital, save):
    data = bytearray(scp(digital))
    data[-1] ^= 1
    assert read_ecg(save(data)).notes[0] == (
        "checksum: the record, section 6 of the SCP-ECG file differ from the checksum stored"
    )
    data[-1] ^= 1
    data[:2] = b"\0\0"
    assert not read_ecg(save(data)).notes[0].startswith("checksum")


def test_the_start_is_that_of_section_1(digital, save):
    assert open_long_record(save(scp(digital))).start == datetime(2018, 7, 9, 12, 30, 5)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({6: struct.pack("<HHBB", 5000, 0, 0, 0) + bytes(16)}, "5000 nV a step and 0 us a sample"),
        ({6: struct.pack("<HHBB", 0, 2000, 0, 0) + bytes(16)}, "0 nV a step"),
        ({6: struct.pack("<HHBB", 5000, 2000, 3, 0) + bytes(16)}, "difference encoding 3"),
        ({6: struct.pack("<HHBB", 5000, 2000, 0, 0) + bytes(16)}, "lead 1, has 0 bytes; expected 8000"),
        ({6: struct.pack("<HHBB", 5000, 2000, 0, 0) + b"\xff" * 16}, "bytes of leads, and has 0"),
        ({3: b"\x0c\x00" + bytes(9)}, "states 12 leads in"),
        ({3: b""}, "no section 3"),
        ({6: b""}, "no section 6"),
        ({2: struct.pack("<H", 0)}, "holds no Huffman table"),
    ],
)
def test_a_record_that_cannot_be_is_refused(digital, save, sections, message):
    whole = {1: HEADER, 3: definition(range(1, 9), 4000), 6: encoded(digital, encoding=0, huffman=None)} | sections
    with pytest.raises(FormatError, match=message):
        read_ecg(save(record({number: content for number, content in whole.items() if content})))


@pytest.mark.parametrize("options", [{"rate": 250}, {"unit": "mV"}, {"leads": LEADS}, {"record": "1"}])
def test_what_contradicts_the_file_is_refused(digital, save, options):
    with pytest.raises(FormatError, match=r"was (given|asked for)"):
        read_ecg(save(scp(digital)), **options)


def test_a_folder_yields_it(digital, save, tmp_path):
    save(scp(digital))
    assert len(list(find_recordings([tmp_path]))) == 1


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path, digital, data):
    whole = bytearray(subtracted(digital) if data.draw(st.booleans()) else scp(digital[:, :300], huffman=default_code))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(22, min(len(whole), 500) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "ecg.scp"
    path.write_bytes(whole[: data.draw(st.integers(32, len(whole)))] if data.draw(st.booleans()) else whole)
    reason = "ecg.scp"
    try:
        assert read_ecg(path, fewer_leads=True).signal.size
    except EcoscaleError as error:
        reason = str(error)
    assert "ecg.scp" in reason
