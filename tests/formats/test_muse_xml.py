import base64
import zlib
from pathlib import Path

import numpy as np
import pytest
from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import damaged, read_or_refused
from ecoscale.ecg import CHEST_LEADS, LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats import find_recordings, read_ecg

EIGHT = ("I", "II", *CHEST_LEADS)
STEPS = np.random.default_rng(5).integers(-400, 400, (8, 500)).astype("<i2")


def lead_data(name, steps, **fields):
    data = steps.tobytes()
    text = base64.encodebytes(data).decode()
    stated = {
        "LeadByteCountTotal": len(data),
        "LeadTimeOffset": 0,
        "LeadSampleCountTotal": len(steps),
        "LeadAmplitudeUnitsPerBit": 4.88,
        "LeadAmplitudeUnits": "MICROVOLTS",
        "LeadID": name,
        "LeadOffsetFirstSample": 0,
        "FirstSampleBaseline": 0,
        "LeadSampleSize": 2,
        "LeadDataCRC32": zlib.crc32(data),
        "WaveFormData": f"\n{text}\n",
    } | fields
    fields = "".join(f"<{key}>{value}</{key}>" for key, value in stated.items() if value is not None)
    return f"<LeadData>{fields}</LeadData>"


def waveform(steps=STEPS, leads=EIGHT, *, kind="Rhythm", base=500, exponent=0, **fields):
    channels = "".join(lead_data(lead, row, **fields) for lead, row in zip(leads, steps, strict=True))
    rate = "" if base is None else f"<SampleBase>{base}</SampleBase><SampleExponent>{exponent}</SampleExponent>"
    return f"<Waveform><WaveformType>{kind}</WaveformType>{rate}{channels}</Waveform>"


def document(*waveforms):
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
        f"<PatientDemographics><PatientLastName>Müller</PatientLastName></PatientDemographics>{''.join(waveforms)}"
        "</RestingECG>"
    )


def written(folder, *waveforms):
    path = Path(folder, "ecg.xml")
    path.write_bytes(document(*waveforms).encode("latin-1"))
    return path


def test_the_rhythm_becomes_twelve_leads_and_the_median_beat_is_not_read(tmp_path):
    ecg = read_ecg(written(tmp_path, waveform(STEPS[:, :60] * 7, kind="Median"), waveform()))
    assert (ecg.rate, ecg.leads, ecg.n_samples) == (500, LEADS, 500)
    for lead, row in zip(EIGHT, STEPS, strict=True):
        np.testing.assert_allclose(ecg.select([lead]).signal[0], row * 0.00488, rtol=1e-6)
    assert ecg.notes == ("derived_leads: III, aVR, aVL, aVF computed from I, II",)


def test_an_independent_reader_reads_the_same(tmp_path):
    path = written(tmp_path, waveform(kind="Median"), waveform())
    ecg, other = read_ecg(path), GEMuseXMLParser().parse(path)
    assert [lead.sampling_rate for lead in other.leads] == [500] * 8
    for lead in other.leads:
        np.testing.assert_allclose(lead.samples * lead.resolution / 1000, ecg.select([lead.label]).signal[0], rtol=1e-6)


@pytest.mark.parametrize(("base", "exponent", "rate"), [(250, 0, 250), (5, 2, 500), (2500, -1, 250)])
def test_the_rate_is_the_base_times_a_power_of_ten(tmp_path, base, exponent, rate):
    assert read_ecg(written(tmp_path, waveform(base=base, exponent=exponent))).rate == rate


@pytest.mark.parametrize(("unit", "factor"), [("MICROVOLTS", 1e-3), ("MILLIVOLTS", 1.0)])
def test_the_unit_is_that_stated(tmp_path, unit, factor):
    ecg = read_ecg(written(tmp_path, waveform(LeadAmplitudeUnits=unit, LeadAmplitudeUnitsPerBit="0.5")))
    np.testing.assert_allclose(ecg.signal[0], STEPS[0] * 0.5 * factor, rtol=1e-6)


def test_a_lead_that_differs_from_its_checksum_is_read_and_noted(tmp_path):
    path = written(tmp_path, waveform().replace(str(zlib.crc32(STEPS[3].tobytes())), "17"))
    assert "checksum: V2 differ from LeadDataCRC32; the file was altered" in read_ecg(path).notes


def test_a_baseline_that_nobody_documents_is_noted(tmp_path):
    notes = read_ecg(written(tmp_path, waveform(FirstSampleBaseline=12))).notes
    assert notes[0].startswith("not_applied: FirstSampleBaseline of I, II, V1")


def test_of_two_rhythms_the_longer_is_read_and_noted(tmp_path):
    ecg = read_ecg(written(tmp_path, waveform(STEPS[:, :100]), waveform()))
    assert (ecg.n_samples, ecg.notes[0]) == (500, "other_waveforms: rhythm 2 of 2 was read")


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        ((), "no Waveform with the WaveformType Rhythm .found none at all"),
        ((waveform(kind="Median"),), "WaveformType Rhythm .found Median"),
        ((waveform(base=None),), "SampleBase is not stated and is not guessed"),
        ((waveform(base="fast"),), "SampleBase is 'fast'"),
        ((waveform(exponent=300),), "SampleExponent is 300"),
        ((waveform(LeadAmplitudeUnits=None),), "lead I: LeadAmplitudeUnits is not stated and is not guessed"),
        ((waveform(LeadAmplitudeUnitsPerBit=None),), "lead I: LeadAmplitudeUnitsPerBit is ''"),
        ((waveform(LeadSampleSize=4),), "LeadSampleSize is 4 bytes"),
        ((waveform(LeadOffsetFirstSample=8),), "LeadOffsetFirstSample is 8"),
        ((waveform(LeadSampleCountTotal=600),), "LeadSampleCountTotal is 600, but WaveFormData holds 1000 bytes"),
        ((waveform(LeadByteCountTotal=999),), "LeadByteCountTotal is 999, but WaveFormData holds 1000 bytes"),
        ((waveform(WaveFormData="AB*D"),), "WaveFormData is not Base64"),
        ((waveform(WaveFormData=""),), "WaveFormData holds 0 bytes"),
        ((waveform([*STEPS[:7], STEPS[7, :-1]]),), "leads of 499 and of 500 samples"),
        ((waveform().replace("<LeadTimeOffset>0<", "<LeadTimeOffset>5<", 1),), "LeadTimeOffset is 0 and 5"),
    ],
)  # fmt: skip
def test_what_is_not_stated_or_not_right_is_refused_by_name(tmp_path, waveforms, message):
    with pytest.raises(FormatError, match=rf"ecg.xml: .*{message}"):
        read_ecg(written(tmp_path, *waveforms))


def test_a_missing_chest_lead_is_named(tmp_path):
    with pytest.raises(LeadError, match="lead V6 missing"):
        read_ecg(written(tmp_path, waveform(STEPS[:7], EIGHT[:7])))


def test_in_a_folder_it_is_found_by_its_content(tmp_path):
    path = written(tmp_path, waveform())
    assert [found.path for found in find_recordings([tmp_path])] == [path]


WHOLE = document(waveform(STEPS[:, :8])).encode("latin-1")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_reason(data):
    read_or_refused(damaged(data, WHOLE), "ecg.xml")
