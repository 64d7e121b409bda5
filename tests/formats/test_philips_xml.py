import base64
import struct
from pathlib import Path

import numpy as np
import pytest
import sierraecg
from ecgdatakit.parsing.parsers.sierra_xml import SierraXMLParser
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import damaged, read_or_refused
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats import find_recordings, read_ecg

STEPS = np.round(synthetic_ecg((), seed=4, rate=250).ecg.signal[:, :500] * 200).astype(np.int64)


def lzw(data):
    """Codes of ten bits, the high bits first; 1023 is never one."""
    known = {bytes([byte]): byte for byte in range(256)}
    codes, current = [], b""
    for byte in data:
        longer = current + bytes([byte])
        if longer in known:
            current = longer
            continue
        codes.append(known[current])
        if len(known) <= 1022:
            known[longer] = len(known)
        current = bytes([byte])
    bits = "".join(f"{code:010b}" for code in [*codes, known[current]])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def xli(rows):
    """A chunk a lead: second differences, high bytes before low bytes, compressed."""
    chunks = []
    for row in rows:
        second = 2 * row[1:-1] - row[:-2] - row[2:]
        codes = np.concatenate([row[:2], second[1:] + 64, [64]]).astype(np.int16)
        high, low = (codes.view(np.uint16) >> 8).astype(np.uint8), (codes.view(np.uint16) & 255).astype(np.uint8)
        data = lzw(high.tobytes() + low.tobytes())
        chunks.append(struct.pack("<ihh", len(data), 0, second[0]) + data)
    return b"".join(chunks)


def residuals(steps):
    """What III and the augmented leads differ by from what I and II make of them, as the carts store it."""
    i, ii, iii, avr, avl, avf, *chest = steps
    return [i, ii, ii - i - iii, -avr - (i + ii) // 2, (i - iii) // 2 - avl, (ii + iii) // 2 - avf, *chest]


def based(data):
    return base64.encodebytes(data).decode()


def document(text, *, version="1.04", waveform=None, acquired=None, encoding="UTF-8", n_samples=500, leads=LEADS):
    attributes = {
        "dataencoding": "Base64",
        "compression": "XLI",
        "numberofleads": len(leads),
        "leadlabels": " ".join(leads),
        "durationperchannel": n_samples * 4,
        "samplespersecond": 250,
        "resolution": 5,
        "signaloffset": 0,
        "bitspersample": 16,
        "signalsigned": "True",
    } | (waveform or {})
    stated = {"samplingrate": 250, "resolution": 5, "acquisitiontype": "10-WIRE", "numberchannelsallocated": 12}
    elements = "".join(
        f"<{name}>{value}</{name}>" for name, value in (stated | (acquired or {})).items() if value is not None
    )
    words = " ".join(f'{name}="{value}"' for name, value in attributes.items() if value is not None)
    return (
        f'<?xml version="1.0" encoding="{encoding}"?><restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo>'
        f"<documenttype>PhilipsECG</documenttype><documentversion>{version}</documentversion></documentinfo>"
        f"<dataacquisition><signalcharacteristics>{elements}</signalcharacteristics></dataacquisition>"
        f"<waveforms><parsedwaveforms {words}>{text}</parsedwaveforms></waveforms></restingecgdata>"
    )


OLD = {
    "compression": None, "compressflag": "True", "compressmethod": "XLI", "numberofleads": None, "leadlabels": None,
    "samplespersecond": None, "resolution": None, "signaloffset": None, "bitspersample": None, "signalsigned": None,
}  # fmt: skip
OLD_ACQUIRED = {"resolution": None, "signalresolution": 5, "acquisitiontype": "STD-12", "signaloffset": 0}
COMPRESSED = based(xli(residuals(STEPS)))
RAW = based(STEPS.astype("<i2").tobytes())


def written(folder, text, encoding="utf-8"):
    path = Path(folder, "ecg.xml")
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        document(COMPRESSED),
        document(COMPRESSED, version="1.03", waveform=OLD, acquired=OLD_ACQUIRED),
        document(COMPRESSED, version="1.04.01", acquired={"samplingrate": None, "resolution": None}),
        document(RAW, waveform={"compression": None}),
        document(RAW, waveform={"compression": "Uncompressed"}),
        document(" ".join(map(str, STEPS.ravel())), waveform={"dataencoding": "Plain", "compression": None}),
    ],
    ids=["compressed", "version 1.03", "version 1.04.01", "not compressed", "said not to be compressed", "plain"],
)
@pytest.mark.parametrize("encoding", [("UTF-8", "utf-8"), ("UTF-16", "utf-16")], ids=["utf-8", "utf-16"])
def test_every_form_of_samples_is_read_to_the_step(tmp_path, text, encoding):
    ecg = read_ecg(written(tmp_path, text.replace('"UTF-8"', f'"{encoding[0]}"'), encoding[1]))
    np.testing.assert_allclose(ecg.signal, STEPS * 0.005, rtol=1e-6)
    assert (ecg.rate, ecg.leads, ecg.notes) == (250, LEADS, ())


def test_independent_readers_read_the_same(tmp_path):
    path = written(tmp_path, document(COMPRESSED))
    ecg = read_ecg(path)
    for lead, other, row in zip(
        sierraecg.read_file(str(path)).leads, SierraXMLParser().parse(path).leads, ecg.signal, strict=True
    ):
        np.testing.assert_array_equal(lead.samples, other.samples)
        np.testing.assert_allclose(lead.samples * 0.005, row, rtol=1e-6)


def test_the_signal_offset_is_the_number_of_0_volt(tmp_path):
    text = document(based((STEPS + 100).astype("<i2").tobytes()), waveform={"compression": None, "signaloffset": 100})
    np.testing.assert_allclose(read_ecg(written(tmp_path, text)).signal, STEPS * 0.005, rtol=1e-6)


def with_pulse(steps, n_rest=50, n_pulse=50):
    rest = np.random.default_rng(0).integers(-1, 2, (len(steps), n_rest))
    pulse = 200 + np.random.default_rng(1).integers(-1, 2, (len(steps), n_pulse))
    return np.hstack([steps, rest, pulse, rest])


@pytest.mark.parametrize("form", ["XLI", None])
def test_a_calibration_pulse_at_the_end_is_cut_off_and_noted(tmp_path, form):
    steps = with_pulse(STEPS)
    text = based(xli(residuals(steps))) if form else based(steps.astype("<i2").tobytes())
    ecg = read_ecg(written(tmp_path, document(text, n_samples=650, waveform={"compression": form})))
    np.testing.assert_allclose(ecg.signal, STEPS * 0.005, rtol=1e-6)
    assert ecg.notes == (
        "calibration_pulse: the last 0.6 s were cut off: they are 1 mV in every lead at once, and no heartbeat",
    )


def test_what_is_not_in_every_lead_at_once_is_no_calibration_pulse(tmp_path):
    steps = with_pulse(STEPS)
    steps[2, 500:] = 0  # as Einthoven has it where I and II are the same
    ecg = read_ecg(
        written(tmp_path, document(based(steps.astype("<i2").tobytes()), n_samples=650, waveform={"compression": None}))
    )
    assert (ecg.n_samples, ecg.notes) == (650, ())


def test_samples_beyond_the_duration_are_left_out_and_noted(tmp_path):
    ecg = read_ecg(written(tmp_path, document(COMPRESSED, n_samples=400)))
    np.testing.assert_allclose(ecg.signal, STEPS[:, :400] * 0.005, rtol=1e-6)
    assert ecg.notes == ("surplus_samples: the last 0.4 s, beyond the durationperchannel, were left out",)


def test_leads_beyond_the_twelve_are_left_out_and_noted(tmp_path):
    leads = (*LEADS, "V3R", "V7")
    steps = np.vstack([STEPS, STEPS[:2]])
    text = document(based(xli(residuals(steps))), leads=leads)
    ecg = read_ecg(written(tmp_path, text))
    assert (ecg.leads, ecg.notes) == (LEADS, ("ignored_channels: V3R, V7; not among the twelve leads",))


def test_eight_compressed_leads_hold_no_differences(tmp_path):
    eight = ("I", "II", *LEADS[6:])
    text = based(xli([STEPS[LEADS.index(lead)] for lead in eight]))
    ecg = read_ecg(written(tmp_path, document(text, leads=eight)))
    np.testing.assert_allclose(ecg.select(eight).signal[0], STEPS[0] * 0.005, rtol=1e-6)
    assert ecg.leads == LEADS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(COMPRESSED, version="2.0"), "a PhilipsECG document of version 2.0; expected 1.03, 1.04"),
        (document(COMPRESSED).replace("parsedwaveforms", "unparsed"), "no parsedwaveforms"),
        (document(COMPRESSED, waveform={"compression": "ZIP"}), "the compression 'ZIP'"),
        (document(COMPRESSED, waveform={"compression": None, "compressflag": "True"}), "the compression 'not named'"),
        (document(COMPRESSED, waveform={"dataencoding": "Hex"}), "the encoding 'Hex'"),
        (document(COMPRESSED, waveform={"bitspersample": 14}), "samples of 14 bits"),
        (document(COMPRESSED, waveform={"durationperchannel": None}), "durationperchannel is ''"),
        (document(COMPRESSED, waveform={"durationperchannel": 10**12}), "durationperchannel is '1000000000000'"),
        (document(COMPRESSED, waveform={"durationperchannel": 4000}), "decompresses to 500 samples; expected the 1000"),
        (document(COMPRESSED, waveform={"durationperchannel": 10, "samplespersecond": 100}), "more than 201 samples"),
        (document(COMPRESSED, waveform={"resolution": None}, acquired={"resolution": None}), "resolution is None"),
        (document(COMPRESSED, waveform={"leadlabels": None}, acquired={"acquisitiontype": "EASI"}), "no leadlabels"),
        (document(COMPRESSED, waveform={"numberofleads": 13}), "numberofleads is 13 and leadlabels names 12"),
        (document(COMPRESSED, waveform={"samplespersecond": None}, acquired={"samplingrate": None}), "samplingrate"),
        (document(COMPRESSED[:4000]), "Is the file whole"),
        (document(based(struct.pack("<ihh", -8, 0, 0))), "lead I claims -8 compressed bytes"),
        (document(based(struct.pack("<ihh", 2**30, 0, 0))), "lead I claims 1073741824 compressed bytes of the 0"),
        (document(COMPRESSED, leads=("II", "I", "III", *LEADS[6:])), "compressed III without aVR, aVL, aVF"),
        (document(RAW, waveform={"compression": None, "durationperchannel": 1996}), "holds 6000 samples; expected 499"),
    ],
)  # fmt: skip
def test_what_is_not_stated_or_not_right_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(FormatError, match=rf"ecg.xml: .*{message}"):
        read_ecg(written(tmp_path, text))


def test_a_missing_chest_lead_is_named(tmp_path):
    text = document(based(xli(residuals(STEPS)[:11])), leads=LEADS[:11])
    with pytest.raises(LeadError, match="lead V6 missing"):
        read_ecg(written(tmp_path, text))


def test_in_a_folder_it_is_found_by_its_content(tmp_path):
    path = written(tmp_path, document(COMPRESSED, encoding="UTF-16"), "utf-16")
    assert [found.path for found in find_recordings([tmp_path])] == [path]


CHUNKS = xli(residuals(STEPS[:, :60]))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_reason(data):
    read_or_refused(document(based(damaged(data, CHUNKS, 20)), n_samples=60).encode(), "ecg.xml")
