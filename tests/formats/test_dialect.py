import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.ecg import LEADS
from ecoscale.errors import EcoscaleError, FormatError
from ecoscale.formats import find_recordings, read_ecg
from ecoscale.formats.dialect import Dialect, load_dialect

STEPS = np.random.default_rng(9).integers(-400, 400, (12, 80))


def table(rows, header=None, delimiter=",", decimal=".", before=(), time=None):
    lines = list(before) + ([delimiter.join(header)] if header else [])
    for number, sample in enumerate(rows.T):
        cells = [
            f"{value:g}".replace(".", decimal) for value in ([] if time is None else [time[number]]) + list(sample)
        ]
        lines.append(delimiter.join(cells))
    return "\n".join(lines) + "\n"


def written(folder, text, dialect="", name="ecg.csv", encoding="utf-8"):
    path = Path(folder, name)
    path.write_bytes(text.encode(encoding))
    if dialect:
        path.with_name(name + ".yaml").write_text(dialect, encoding="utf-8")
    return path


STATED = "rate: 250\nunit: uV\nleads: [I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6]\n"


def test_a_description_beside_a_table_says_all_that_reading_it_needs(tmp_path):
    ecg = read_ecg(written(tmp_path, table(STEPS), STATED))
    np.testing.assert_allclose(ecg.signal, STEPS / 1000, rtol=1e-6)
    assert (ecg.rate, ecg.leads, ecg.notes) == (250, LEADS, ())


@settings(max_examples=40, deadline=None)
@given(
    delimiter=st.sampled_from([("semicolon", ";"), ("tab", "\t"), ("blank", "  "), (None, ";")]),
    decimal=st.sampled_from([".", ","]),
    skip=st.integers(0, 3),
    header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    resolution=st.sampled_from([1.0, 4.88]),
    zero=st.sampled_from([0.0, 2048.0]),
)
def test_a_table_is_read_as_its_dialect_says(delimiter, decimal, skip, header, encoding, resolution, zero):
    names = [f"ch{number}" for number in range(12)] if header else None
    before = ["Gerät: ß", "a;b", "1;2;3"][:skip]
    text = table(STEPS / 2 + zero, names, delimiter[1], decimal, before)
    stated = STATED + f"resolution: {resolution}\nzero: {zero}\nskip_rows: {skip}\nencoding: {encoding}\n"
    stated += f"decimal: '{decimal}'\n" + (f"delimiter: {delimiter[0]}\n" if delimiter[0] else "")
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, text, stated, encoding=encoding)
        assert [found.path for found in find_recordings([folder])] == [path]
        ecg = read_ecg(path)
    np.testing.assert_allclose(ecg.signal, STEPS / 2 * resolution / 1000, rtol=1e-5, atol=1e-6)


def test_a_row_may_be_a_lead(tmp_path):
    ecg = read_ecg(written(tmp_path, table(STEPS.T), STATED + "samples_in: columns\n"))
    np.testing.assert_allclose(ecg.signal, STEPS / 1000, rtol=1e-6)


def test_columns_are_leads_by_name_or_by_number_and_others_are_noted(tmp_path):
    header = ["EKG 1", "EKG 2", *map(str, range(10)), "pulse"]
    columns = {lead: number + 1 for number, lead in enumerate(LEADS)} | {"I": "EKG 1", "II": "EKG 2"}
    dialect = Dialect(rate=500, unit="mV", columns=columns)
    path = written(tmp_path, table(np.vstack([STEPS, STEPS[0]]), header))
    ecg = read_ecg(path, dialect=dialect)
    np.testing.assert_allclose(ecg.signal, STEPS, rtol=1e-6)
    assert ecg.notes == ("ignored_channels: pulse; not among the twelve leads",)


def test_the_headings_name_leads_and_units_where_the_dialect_does_not(tmp_path):
    path = written(tmp_path, table(STEPS, [f"{lead} (uV)" for lead in LEADS[::-1]]), "rate: 500\n")
    np.testing.assert_allclose(read_ecg(path).signal, STEPS[::-1] / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("times", "unit", "rate"),
    [
        (np.arange(80) * 0.002, "s", 500),
        (np.arange(80) * 4.0, "ms", 250),
        (np.round(np.arange(80) * 1000 / 300), "ms", 300),
        (1e6 + np.arange(80) / 360, "s", 360),
    ],
)
def test_an_even_time_column_states_the_rate(tmp_path, times, unit, rate):
    text = "\n".join(
        [
            ",".join(["t", *LEADS]),
            *(f"{t:.6f}," + ",".join(map(str, row)) for t, row in zip(times, STEPS.T, strict=True)),
        ]
    )
    dialect = Dialect.model_validate({"unit": "uV", "time": {"column": "t", "unit": unit}})
    ecg = read_ecg(written(tmp_path, text), dialect=dialect)
    np.testing.assert_allclose(ecg.signal, STEPS / 1000, rtol=1e-6)
    assert (ecg.rate, ecg.notes) == (rate, ())
    with pytest.raises(FormatError, match=r"the rate given is 501 Hz|the rate given is 200 Hz"):
        read_ecg(tmp_path / "ecg.csv", dialect=dialect, rate=501 if rate == 500 else 200)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.delete(np.arange(81), 40), "39 s is followed by 41 s, where the usual step is 1"),
        (np.zeros(80), "not even"),
        (np.arange(80)[::-1], "not even"),
        (np.where(np.arange(80) == 5, np.nan, np.arange(80)), "missing or too few times"),
        (np.cumsum(np.where(np.arange(80) < 40, 1.0, 1.5)), "not even"),
    ],
)
def test_a_time_column_that_is_not_even_is_refused(tmp_path, times, message):
    text = table(STEPS, ["t", *LEADS], time=list(times))
    with pytest.raises(FormatError, match=message):
        read_ecg(written(tmp_path, text, "unit: uV\ntime: {column: t, unit: s}\n"))


def test_what_a_missing_sample_is_written_as_is_stated(tmp_path):
    text = table(STEPS).replace(f"{STEPS[0, 0]},", "-,", 1)
    assert np.isnan(read_ecg(written(tmp_path, text, STATED + "missing: ['-']\n")).signal[0, 0])
    with pytest.raises(FormatError, match="line 1 of the table has '-' where a number"):
        read_ecg(written(tmp_path, text, STATED + "header: false\n"))


def test_a_folder_has_one_dialect_and_a_table_may_have_its_own(tmp_path):
    (tmp_path / "ecg-dialect.yaml").write_text(STATED)
    first = written(tmp_path, table(STEPS), name="1.csv")
    own = written(tmp_path, table(STEPS), STATED.replace("250", "400"), name="2.csv")
    (tmp_path / "labels.csv").write_text("record,AF\n1,0\n2,1\n")
    (tmp_path / "README.txt").write_text("Twelve leads each.\n")
    assert [found.path for found in find_recordings([tmp_path])] == [first, own]
    assert (read_ecg(first).rate, read_ecg(own).rate) == (250, 400)
    assert read_ecg(own, dialect=Dialect(**load_dialect(tmp_path / "ecg-dialect.yaml").model_dump())).rate == 250


def test_a_dialect_given_finds_the_tables_that_fit_it(tmp_path):
    path = written(tmp_path, table(STEPS))
    (tmp_path / "labels.csv").write_text("record,AF\n1,0\n")
    dialect = Dialect(rate=250, unit="uV", leads=LEADS)
    assert [found.path for found in find_recordings([tmp_path], tables=dialect)] == [path]
    assert [found.path for found in find_recordings([tmp_path])] == [tmp_path]  # without one, nothing is found in it


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("rate: fast\n", "the dialect's rate: Input should be a valid number.*its fields are rate, unit"),
        ("rates: 500\n", "the dialect's rates: Extra inputs"),
        ("unit: mmHg\n", "'mmHg' is not a unit of voltage"),
        ("leads: [I, X]\n", "unknown lead 'X'"),
        ("leads: [I]\ncolumns: {II: 1}\n", "leads and columns both name the leads"),
        ("decimal: ','\ndelimiter: comma\n", "are both the comma"),
        ("samples_in: columns\nheader: true\n", "takes leads or channels, and neither"),
        ("encoding: klingon\n", "'klingon' is not an encoding"),
        ("encoding: base64\n", "'base64' is not an encoding"),
        ("- 500\n", "the dialect's the whole"),
        ("{", "not YAML or JSON"),
        ("&a [*a]", "the dialect"),
        ("#" * 70_000, "more than 64 KiB"),
    ],
)
def test_a_dialect_that_is_not_right_is_refused_by_field(tmp_path, stated, message):
    with pytest.raises(FormatError, match=rf"(?s)ecg.csv.yaml: .*{message}"):
        read_ecg(written(tmp_path, table(STEPS), stated))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("unit: uV\nleads: [I, II]\nrate: 250\n", "2 leads for 12 columns"),
        ("unit: uV\nrate: 250\ncolumns: {I: 1, II: 13}\n", "names column 13; the table has 12"),
        ("unit: uV\nrate: 250\ncolumns: {I: 1, II: 1}\n", "gives one column two meanings"),
        (
            "unit: uV\nrate: 250\ncolumns: {I: lead one}\n",
            "column 'lead one', which the header row has not .there is none",
        ),
        ("unit: uV\nrate: 250\n", "does not state its leads"),
        (STATED.replace("rate: 250\n", ""), "does not state its rate"),
        (STATED.replace("unit: uV\n", ""), "does not state its unit"),
        (STATED + "skip_rows: 500\n", "no rows after the 500"),
        (STATED + "encoding: utf-16\n", "not text in utf-16"),
        (STATED + "delimiter: semicolon\n", "where a number is expected"),
    ],
)
def test_a_table_that_is_not_in_its_dialect_is_refused(tmp_path, stated, message):
    with pytest.raises(FormatError, match=rf"ecg.csv: .*{message}"):
        read_ecg(written(tmp_path, table(STEPS), stated + "header: false\n"))


def test_what_the_dialect_states_is_not_contradicted(tmp_path):
    path = written(tmp_path, table(STEPS), STATED)
    for contradiction in ({"rate": 500}, {"unit": "mV"}, {"leads": LEADS[::-1]}):
        with pytest.raises(FormatError, match="was given"):
            read_ecg(path, **contradiction)


WHOLE = table(STEPS[:, :3]).encode()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_reason(data):
    whole, other = (WHOLE, STATED.encode()) if data.draw(st.booleans()) else (STATED.encode(), WHOLE)
    at = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(at, min(len(whole), at + 20)))
    damaged = whole[:at] + data.draw(st.binary(max_size=12)) + whole[end:]
    content, dialect = (damaged, other) if whole is WHOLE else (other, damaged)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ecg.csv")
        path.write_bytes(content)
        Path(folder, "ecg.csv.yaml").write_bytes(dialect)
        list(find_recordings([folder]))
        try:
            assert read_ecg(path).n_samples <= len(content)
        except EcoscaleError as error:
            assert "ecg.csv" in str(error)  # noqa: PT017
