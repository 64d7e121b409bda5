import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.ecg import CHEST_LEADS, LEADS
from ecoscale.errors import FormatError, LeadError
from ecoscale.formats import read_ecg

STATED = {"rate": 500, "unit": "uV", "leads": LEADS}


def microvolts(n_samples=60, n_leads=12, seed=0):
    return np.random.default_rng(seed).integers(-2000, 2000, (n_leads, n_samples)).astype(float)


def save_npy(path, values):
    with path.open("wb") as file:
        np.save(file, values)
    return path


def save_table(path, signal, names=LEADS, delimiter=","):
    rows = [delimiter.join(names)] if names else []
    rows += [delimiter.join(f"{value:g}" for value in sample) for sample in signal.T]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("dtype", ["<i2", ">i4", "f4", "f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_leads_by_samples_or_samples_by_leads_is_read(tmp_path, dtype, order):
    signal = microvolts()
    for values in (signal, signal.T):
        ecg = read_ecg(save_npy(tmp_path / "a.npy", np.asarray(values, dtype, order=order)), **STATED)
        np.testing.assert_allclose(ecg.signal, signal / 1000, rtol=1e-3 if dtype == "f2" else 1e-6)
        assert (ecg.rate, ecg.leads) == (500, LEADS)


@pytest.mark.parametrize("missing", ["rate", "unit", "leads"])
@pytest.mark.parametrize("kind", ["npy", "table"])
def test_nothing_that_a_bare_array_lacks_is_guessed(tmp_path, kind, missing):
    save = save_npy if kind == "npy" else lambda path, values: save_table(path, values, names=())
    path = save(tmp_path / "a.bin", microvolts())
    with pytest.raises(FormatError, match=f"a.bin: .* does not state its {missing}; give {missing}="):
        read_ecg(path, **{name: value for name, value in STATED.items() if name != missing})


def test_a_square_array_is_refused_because_its_sides_cannot_be_told_apart(tmp_path):
    with pytest.raises(FormatError, match="12 x 12 numbers for 12 leads"):
        read_ecg(save_npy(tmp_path / "a.npy", microvolts(12)), **STATED)


@pytest.mark.parametrize("shape", [(11, 500), (3, 12, 500), (6000,), ()])
def test_an_array_of_another_shape_is_refused(tmp_path, shape):
    with pytest.raises(FormatError, match=r"a.npy: .*(12 leads given|leads, samples)"):
        read_ecg(save_npy(tmp_path / "a.npy", np.zeros(shape)), **STATED)


@pytest.mark.parametrize(
    "values", [np.array([["a", "b"]]), np.zeros((12, 5), complex), np.zeros((12, 5), bool), np.zeros((12, 5), "M8[s]")]
)
def test_an_array_of_other_things_than_numbers_is_refused(tmp_path, values):
    with pytest.raises(FormatError, match="expected real numbers"):
        read_ecg(save_npy(tmp_path / "a.npy", values), **STATED)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was loaded",))


def test_a_pickle_is_never_loaded(tmp_path):
    path = save_npy(tmp_path / "a.npy", np.array([[Bomb()] * 12] * 3))
    with pytest.raises(FormatError, match="cannot be read"):
        read_ecg(path, **STATED)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-8], lambda data: data.replace(b"(12, 60)", b"(12, 10**12)"[:8])]
)
def test_a_damaged_array_is_refused(tmp_path, damage):
    path = save_npy(tmp_path / "a.npy", microvolts())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError, match=r"a.npy"):
        read_ecg(path, **STATED)


@settings(deadline=None, max_examples=40)
@given(
    order=st.permutations(LEADS),
    delimiter=st.sampled_from([",", ";", "\t", " "]),
    case=st.sampled_from([str, str.upper, str.lower, "ECG_{}".format]),
    quote=st.sampled_from(["", '"']),
    unit=st.sampled_from([("V", 1e3), ("mV", 1), ("uV", 1e-3), ("µV", 1e-3)]),
    in_header=st.booleans(),
    time=st.booleans(),
)
def test_a_header_row_names_the_leads_in_any_order_and_spelling(order, delimiter, case, quote, unit, in_header, time):
    signal = microvolts()
    names = [quote + case(lead) + (f"({unit[0]})" if in_header else "") + quote for lead in order]
    rows, ignored = signal, ()
    if time:
        names, rows = ["time", *names], np.vstack([np.arange(60) / 500, signal])
        ignored = ("ignored_channels: time; not among the twelve leads",)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        text = "\n".join([delimiter.join(names), *(delimiter.join(f"{x:g}" for x in sample) for sample in rows.T)])
        path.write_text(text, encoding="utf-8-sig")
        ecg = read_ecg(path, rate=500, unit=None if in_header else unit[0])
    assert (ecg.leads, ecg.notes) == (LEADS, ignored)
    expected = dict(zip(order, signal * unit[1], strict=True))
    np.testing.assert_allclose(ecg.signal, [expected[lead] for lead in LEADS], rtol=1e-6)


def test_a_table_without_a_header_row_takes_the_leads_given(tmp_path):
    signal = microvolts()
    for rows in (signal, signal.T):
        path = save_table(tmp_path / "a.csv", rows, names=())
        np.testing.assert_allclose(read_ecg(path, **STATED).signal, signal / 1000, rtol=1e-6)


def test_leads_name_the_columns_of_a_header_row_that_does_not(tmp_path):
    path = save_table(tmp_path / "a.csv", microvolts(), names=[f"ch{n}" for n in range(12)])
    np.testing.assert_allclose(read_ecg(path, **STATED).signal, microvolts() / 1000, rtol=1e-6)


def test_a_table_as_numpy_saves_it_keeps_its_header_row(tmp_path):
    path = tmp_path / "a.tsv"
    np.savetxt(path, microvolts().T, delimiter="\t", header="\t".join(LEADS[::-1]))
    ecg = read_ecg(path, rate=500, unit="uV")
    np.testing.assert_allclose(ecg.signal, microvolts()[::-1] / 1000, rtol=1e-6)


def test_empty_cells_are_missing_samples(tmp_path):
    path = save_table(tmp_path / "a.csv", microvolts())
    lines = path.read_text().splitlines()
    lines[8] = "," + lines[8].split(",", 1)[1]
    lines[9] = "nan," + lines[9].split(",", 1)[1]
    path.write_text("\n".join(lines))
    assert np.argwhere(np.isnan(read_ecg(path, rate=500, unit="uV").signal)).tolist() == [[0, 7], [0, 8]]


def test_eight_columns_become_twelve_leads(tmp_path):
    path = save_table(tmp_path / "a.csv", microvolts(n_leads=8), names=("I", "II", *CHEST_LEADS))
    ecg = read_ecg(path, rate=500, unit="uV")
    assert max(ecg.einthoven_residual().values()) < 1e-5
    assert ecg.notes[0].startswith("derived_leads")


def test_a_missing_chest_lead_is_refused_by_name(tmp_path):
    path = save_table(tmp_path / "a.csv", microvolts(n_leads=3), names=("I", "II", "V1"))
    with pytest.raises(LeadError, match="V2, V3, V4, V5, V6 missing"):
        read_ecg(path, rate=500, unit="uV")


BROKEN = {
    "a word": (("\n1,", "\nhigh,"), "line 2 of the table has 'high' where a number"),
    "a decimal comma": (("1,2,3", '"1;2","3"'), "line 2"),
    "a column too many": (("\n1,", "\n1,1,"), "columns"),
    "no samples": (("\n1,2,3,4,5,6,7,8,9,10,11,12\n1,2,3,4,5,6,7,8,9,10,11,12", ""), "no samples"),
    "a unit that is not a voltage": (("I,", "I (uV),"), "the header row's unit|the unit of column"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_table_that_is_wrong_is_refused_naming_the_line(tmp_path, change, message):
    path = save_table(tmp_path / "a.csv", np.arange(1, 13)[:, None].repeat(2, axis=1))
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(FormatError, match=message):
        read_ecg(path, rate=500, unit="mV")


def test_a_table_of_something_else_is_not_taken_for_an_ecg(recordings):
    with pytest.raises(FormatError, match=r"ptbxl_database.csv: not a format that is known.*Formats read"):
        read_ecg(recordings / "ptbxl-native" / "ptbxl_database.csv", rate=500, unit="mV")


@given(rate=st.sampled_from([100, 128, 250, 257.5, 360, 400, 500, 1000]), n_samples=st.integers(4, 400))
def test_a_column_of_times_states_the_rate(rate, n_samples):
    times = np.arange(n_samples) / rate
    rows = [",".join(("time (s)", *(f"{lead} (uV)" for lead in LEADS)))]
    for written in (times.astype(str), np.char.mod("%.6f", times + 3)):
        rows[1:] = [
            ",".join((at, *map(str, sample))) for at, sample in zip(written, microvolts(n_samples).T, strict=True)
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.csv")
            path.write_text("\n".join(rows))
            ecg = read_ecg(path)
            with pytest.raises(FormatError, match=f"column of times is {rate:g} Hz, but rate=77 was given"):
                read_ecg(path, rate=77)
        assert (ecg.rate, ecg.notes) == (rate, ())
        np.testing.assert_allclose(ecg.signal, microvolts(n_samples) / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    "times",
    [[0, 0.002, 0.004, 0.007], [0, 0.002, 0.001, 0.006], [0, 0, 0, 0], [0, 0.002, "", 0.006], [0, 0.003, 0.006, 0.008]],
)
def test_times_that_are_not_even_are_refused_and_not_averaged(tmp_path, times):
    rows = [",".join(["Time [s]", *(f"{lead} (mV)" for lead in LEADS)])]
    rows += [",".join(map(str, (at, *sample))) for at, sample in zip(times, microvolts(4).T, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(FormatError, match=r"a.csv: the time column (is not even|has missing)"):
        read_ecg(tmp_path / "a.csv")
