import tempfile
from pathlib import Path

import numpy as np
import pytest
from ecgdatakit.parsing.parsers.hl7_aecg import HL7aECGParser
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import damaged, read_or_refused
from ecoscale.ecg import CHEST_LEADS, LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats import find_recordings, read_ecg

EIGHT = ("I", "II", *CHEST_LEADS)
STEPS = np.random.default_rng(3).integers(-400, 400, (12, 500))
STEPS[2] = STEPS[1] - STEPS[0]


def sequence(code, value):
    return (
        f'<component><sequence><code code="{code}" codeSystem="2.16.840.1.113883.6.24"/>{value}</sequence></component>'
    )


def times(increment='value="0.002" unit="s"', kind="GLIST_TS"):
    return f'<value xsi:type="{kind}"><head value="20240102030405.000"/><increment {increment}/></value>'


def voltages(steps, *, origin="0", scale="5", unit="uV", separator=" ", kind="SLIST_PQ"):
    digits = separator.join(map(str, steps))
    stated = f'unit="{unit}"' if unit else ""
    return (
        f'<value xsi:type="{kind}"><origin value="{origin}" {stated}/><scale value="{scale}" {stated}/>'
        f"<digits>{digits}</digits></value>"
    )


def sequence_set(steps, leads=LEADS, *, time=None, **form):
    parts = [sequence("TIME_ABSOLUTE", times())] if time is None else [time]
    parts += [
        sequence(f"MDC_ECG_LEAD_{lead.upper()}", voltages(row, **form)) for lead, row in zip(leads, steps, strict=True)
    ]
    return f"<component><sequenceSet>{''.join(parts)}</sequenceSet></component>"


def series(*sets, code="RHYTHM"):
    return f'<component><series><code code="{code}"/>{"".join(sets)}</series></component>'


def document(*parts, encoding="UTF-8", prolog=""):
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>{prolog}<AnnotatedECG xmlns="urn:hl7-org:v3" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1"/>{"".join(parts)}</AnnotatedECG>'
    )


def written(folder, text, encoding="utf-8"):
    path = Path(folder, "ecg.xml")
    path.write_bytes(text.encode(encoding))
    return path


def test_the_rhythm_is_read_in_millivolts_and_beats_are_not(tmp_path):
    beat = series(sequence_set(STEPS[:, :100] * 9), code="REPRESENTATIVE_BEAT")
    ecg = read_ecg(written(tmp_path, document(beat, series(sequence_set(STEPS)))))
    np.testing.assert_allclose(ecg.signal, STEPS * 0.005, rtol=1e-6)
    assert (ecg.rate, ecg.leads, ecg.notes) == (500, LEADS, ())


def test_an_independent_reader_reads_the_same(tmp_path):
    path = written(tmp_path, document(series(sequence_set(STEPS, origin="12"))))
    other = HL7aECGParser().parse(path)
    for lead, row in zip(other.leads, read_ecg(path).signal, strict=True):
        np.testing.assert_allclose((lead.samples * lead.resolution + lead.offset) / 1000, row, rtol=1e-6)
        assert lead.sampling_rate == 500


@settings(max_examples=30, deadline=None)
@given(
    unit=st.sampled_from([("uV", 1e-3), ("mV", 1.0), ("nV", 1e-6)]),
    scale=st.sampled_from(["1", "2.5", "4.88"]),
    origin=st.sampled_from(["0", "-7.5", "1024"]),
    increment=st.sampled_from(
        [('value="0.002" unit="s"', 500), ('value="4" unit="ms"', 250), ('value="1000" unit="us"', 1000)]
    ),
    kind=st.sampled_from(["GLIST_TS", "GLIST_PQ"]),
    separator=st.sampled_from([" ", "\n", "\t", "\r\n   "]),
    encoding=st.sampled_from([("UTF-8", "utf-8-sig"), ("UTF-16", "utf-16"), ("ISO-8859-1", "latin-1")]),
)
def test_units_increments_and_encodings_are_those_stated(unit, scale, origin, increment, kind, separator, encoding):
    time = sequence("TIME_RELATIVE", times(increment[0], kind))
    found = sequence_set(STEPS, time=time, unit=unit[0], scale=scale, origin=origin, separator=separator)
    with tempfile.TemporaryDirectory() as folder:
        text = document(series(found), encoding=encoding[0], prolog="<!-- Herzklinik München -->")
        ecg = read_ecg(written(folder, text, encoding[1]))
    np.testing.assert_allclose(ecg.signal, (STEPS * float(scale) + float(origin)) * unit[1], rtol=1e-5, atol=1e-9)
    assert ecg.rate == increment[1]


def test_eight_leads_become_twelve(tmp_path):
    rows = [STEPS[LEADS.index(lead)] for lead in EIGHT]
    ecg = read_ecg(written(tmp_path, document(series(sequence_set(rows, EIGHT)))))
    assert ecg.leads == LEADS
    np.testing.assert_allclose(ecg.signal[2], STEPS[2] * 0.005, atol=1e-6)
    assert ecg.notes == ("derived_leads: III, aVR, aVL, aVF computed from I, II",)


def test_of_several_sets_the_one_with_most_leads_is_read_and_the_rest_noted(tmp_path):
    few = sequence_set(np.tile(STEPS[:2], 4), LEADS[:2])
    ecg = read_ecg(written(tmp_path, document(series(few, sequence_set(STEPS)))))
    assert ecg.n_samples == 500
    assert ecg.notes == ("other_sequences: sequence set 2 of rhythm series 1 was read, of the 2 in the file",)


def test_leads_of_different_sets_are_not_put_together(tmp_path):
    path = written(tmp_path, document(series(sequence_set(STEPS[:6], LEADS[:6]), sequence_set(STEPS[6:], LEADS[6:]))))
    with pytest.raises(LeadError, match=r"V1, V2, V3, V4, V5, V6 missing.*sequence set 1 of rhythm series 1 of 2"):
        read_ecg(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "no series with the code RHYTHM .found none at all"),
        ((series(sequence_set(STEPS), code="REPRESENTATIVE_BEAT"),), "RHYTHM .found REPRESENTATIVE_BEAT"),
        ((series(),), "holds no sequence of samples"),
        ((series(sequence_set(STEPS, unit="")),), "MDC_ECG_LEAD_I: the unit of scale is not stated and is not guessed"),
        ((series(sequence_set(STEPS, unit="mmHg")),), "the unit of scale is 'mmHg'"),
        ((series(sequence_set(STEPS, scale="many")),), "the value of scale is 'many'"),
        ((series(sequence_set(STEPS, kind="SLIST_TS")),), "of the type 'SLIST_TS'; expected SLIST_PQ"),
        ((series(sequence_set(STEPS, separator=", ")),), "digits is not all numbers"),
        ((series(sequence_set(STEPS, separator="_")),), "digits holds '_'"),
        ((series(sequence_set(np.empty((12, 0)))),), "digits is empty"),
        ((series(sequence_set([*STEPS[:11], STEPS[11, :-1]])),), "leads of 499 and of 500 samples"),
        ((series(sequence_set(STEPS, time="")),), "the increment of its times is not stated and is not guessed"),
        ((series(sequence_set(STEPS, time=sequence("TIME_X", times('value="0" unit="s"')))),), "expected a positive"),
        ((series(sequence_set(STEPS, time=sequence("TIME_ABSOLUTE", times('value="2" unit="min"')))),), "is in 'min'"),
    ],
)  # fmt: skip
def test_what_is_not_stated_or_not_right_is_refused_by_name(tmp_path, parts, message):
    with pytest.raises(FormatError, match=rf"ecg.xml: .*{message}"):
        read_ecg(written(tmp_path, document(*parts)))


def test_a_rate_and_a_unit_that_the_file_lacks_may_be_given_and_none_contradicted(tmp_path):
    path = written(tmp_path, document(series(sequence_set(STEPS, time="", unit=""))))
    np.testing.assert_allclose(read_ecg(path, rate=250, unit="uV").signal, STEPS * 0.005, rtol=1e-6)
    path = written(tmp_path, document(series(sequence_set(STEPS))))
    with pytest.raises(FormatError, match="is 500 Hz, but rate=250 was given"):
        read_ecg(path, rate=250)
    with pytest.raises(FormatError, match="'uV', but unit='mV' was given"):
        read_ecg(path, unit="mV")


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
PARAMETER = '<!DOCTYPE a SYSTEM "a.dtd" [<!ENTITY % a SYSTEM "http://127.0.0.1:9/a"> %a;]>'


@pytest.mark.parametrize("prolog", [BOMB, FILE, PARAMETER])
def test_entities_are_refused(tmp_path, prolog):
    path = written(tmp_path, document(series(sequence_set(STEPS)), prolog=prolog))
    with pytest.raises(FormatError, match="declares entities"):
        read_ecg(path)


def test_a_document_too_large_is_refused_unread(tmp_path):
    path = written(tmp_path, document(series(sequence_set(STEPS))))
    with path.open("r+b") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(FormatError, match="XML of more than 64 MiB"):
        read_ecg(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<?xml version='1.0'?>\n<ClinicalDocument xmlns='urn:hl7-org:v3'/>", "<ClinicalDocument>"),
        ("<svg:svg xmlns:svg='x'></svg:svg>", "<svg>"),
        (f"<!--{'x' * 5000}--><AnnotatedECG/>", "not at its beginning"),
    ],
)
def test_other_xml_is_named_by_its_root(tmp_path, text, found):
    with pytest.raises(
        FormatError, match=f"root element is {found}; expected <AnnotatedECG>, <RestingECG>, <restingecgdata>"
    ):
        read_ecg(written(tmp_path, text))


def test_in_a_folder_it_is_found_by_its_content(tmp_path):
    path = written(tmp_path, document(series(sequence_set(STEPS)), encoding="UTF-16"), "utf-16")
    path = path.rename(tmp_path / "ecg.export")
    (tmp_path / "settings.xml").write_text("<?xml version='1.0'?><settings/>")
    assert [found.path for found in find_recordings([tmp_path])] == [path]


WHOLE = document(series(sequence_set(STEPS[:, :20]))).encode()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_reason(data):
    read_or_refused(damaged(data, WHOLE), "ecg.xml")
