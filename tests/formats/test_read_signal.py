"""Signals of any kind from files: names and units as the file states them, or as given; nothing guessed."""

import edfio
import numpy as np
import pandas as pd
import pytest
import wfdb

from ecoscale import read_ecg, read_signal
from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG
from ecoscale.errors import ChannelError, FormatError
from ecoscale.formats.signals import Assumed
from ecoscale.formats.writing import write_ecg

STEPS = np.random.default_rng(0).integers(-1000, 1000, (3, 640))
NAMES = ("PPG", "acc x", "acc y")
GIVEN = {"rate": 64, "channels": NAMES, "units": ("a.u.", "g", "g")}
AS_BUNDLES = Assumed(32, ("acc y", "PPG"), ("g", "a.u."))


def table(path, header, rows=STEPS.T, separator=","):
    lines = [separator.join(header)] if header else []
    path.write_text("\n".join([*lines, *(separator.join(map(str, row)) for row in rows)]) + "\n")
    return path


def edf(path, rates=(64, 64, 64), labels=("EEG Fz", "EEG Cz", "SpO2"), units=("uV", "uV", "%")):
    signals = [
        edfio.EdfSignal(steps[: 10 * rate].astype(float), rate, label=label, physical_dimension=unit)
        for steps, rate, label, unit in zip(STEPS, rates, labels, units, strict=True)
    ]
    edfio.Edf(signals).write(path)
    return path


class TestTables:
    def test_names_and_units_are_those_of_the_header_and_the_rate_that_of_the_times(self, tmp_path):
        times = np.arange(640) / 64
        path = table(tmp_path / "a.csv", ("time (s)", "PPG (a.u.)", "acc x [g]", "acc y [g]"), np.c_[times, STEPS.T])
        found = read_signal(path)
        assert (found.channels, found.units, found.rate) == (NAMES, ("a.u.", "g", "g"), 64)
        assert found.source == str(path)
        np.testing.assert_array_equal(found.signal, STEPS)

    def test_channels_are_chosen_by_name_and_put_in_that_order(self, tmp_path):
        path = table(tmp_path / "a.tsv", ("PPG (a.u.)", "acc x (g)", "acc y (g)"), separator="\t")
        found = read_signal(path, rate=64, channels=["acc y", "PPG"])
        assert (found.channels, found.units) == (("acc y", "PPG"), ("g", "a.u."))
        np.testing.assert_array_equal(found.signal, STEPS[[2, 0]])

    def test_one_column_is_one_channel_with_or_without_a_name(self, tmp_path):
        named = table(tmp_path / "a.csv", ("blood volume pulse (a.u.)",), STEPS[:1].T)
        assert read_signal(named, rate=64).channels == ("blood volume pulse",)
        bare = table(tmp_path / "b.csv", (), STEPS[:1].T)
        found = read_signal(bare, rate=64, channels=["PPG"], units="")
        assert (found.units, found.n_samples) == (("",), 640)

    def test_a_heading_of_numpys_savetxt_names_the_channels(self, tmp_path):
        np.savetxt(tmp_path / "a.txt", STEPS.T, header="one two three")
        assert read_signal(tmp_path / "a.txt", rate=64, units="V").channels == ("one", "two", "three")

    def test_brackets_that_are_no_unit_are_asked_for_in_full(self, tmp_path):
        path = table(tmp_path / "a.csv", ("acc (x)", "acc (y)", "acc (z)"))
        with pytest.raises(ChannelError, match=r"acc is the name of several channels; .* as 'acc \(x\)', 'acc \(y\)'"):
            read_signal(path, rate=64)
        found = read_signal(path, rate=64, channels=["acc (z)", "acc (x)"], units="g")
        assert found.channels == ("acc (z)", "acc (x)")
        np.testing.assert_array_equal(found.signal, STEPS[[2, 0]])

    def test_a_column_of_times_in_no_unit_is_no_channel(self, tmp_path):
        path = table(tmp_path / "a.csv", ("timestamp", "PPG", "acc x"))
        assert read_signal(path, rate=64, units="").channels == ("PPG", "acc x")

    def test_a_dialect_says_how_a_table_is_read(self, tmp_path):
        rows = [";".join(f"{value:.1f}".replace(".", ",") for value in row) for row in STEPS.T / 10]
        (tmp_path / "a.csv").write_text("exported by a watch\n" + "\n".join(rows) + "\n")
        (tmp_path / "a.csv.yaml").write_text(
            "{skip_rows: 1, decimal: ',', channels: [PPG, acc x, acc y], units: [a.u., g, g], rate: 64}"
        )
        found = read_signal(tmp_path / "a.csv", channels=["acc x"])
        assert (found.units, found.rate) == (("g",), 64)
        np.testing.assert_allclose(found.signal[0], STEPS[1] / 10, rtol=1e-6)
        with pytest.raises(FormatError, match="its dialect states channels and units of another signal than an ECG"):
            read_ecg(tmp_path / "a.csv")


class TestBareArrays:
    @pytest.mark.parametrize("values", [STEPS, STEPS.T])
    def test_the_number_of_channels_says_which_side_they_are(self, tmp_path, values):
        np.save(tmp_path / "a.npy", values)
        found = read_signal(tmp_path / "a.npy", **GIVEN)
        assert (found.channels, found.units) == (NAMES, ("a.u.", "g", "g"))
        np.testing.assert_array_equal(found.signal, STEPS)

    def test_one_dimension_is_one_channel(self, tmp_path):
        np.save(tmp_path / "a.npy", STEPS[0])
        assert read_signal(tmp_path / "a.npy", rate=64, channels=["PPG"], units="").n_samples == 640

    @pytest.mark.parametrize("lacking", ["rate", "channels", "units"])
    def test_what_nobody_states_is_asked_for(self, tmp_path, lacking):
        np.save(tmp_path / "a.npy", STEPS)
        with pytest.raises(FormatError, match=rf"a.npy: .*give {lacking}="):
            read_signal(tmp_path / "a.npy", **{key: value for key, value in GIVEN.items() if key != lacking})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"channels": ("PPG",), "units": ""}, "3 x 640 numbers for the 1 channels given"),
            ({"units": ("g", "g")}, "units has 2 units for 3 channels"),
            ({"rate": -1}, "the rate given is -1; expected a positive number"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path, change, message):
        np.save(tmp_path / "a.npy", STEPS)
        with pytest.raises(FormatError, match=message):
            read_signal(tmp_path / "a.npy", **(GIVEN | change))


class TestFormatsThatSayAll:
    def test_wfdb_records_of_any_signals(self, tmp_path):
        physical = STEPS.T / [100.0, 10.0, 1.0]
        wfdb.wrsamp(
            "watch",
            64,
            ["mV", "g", "mmHg"],
            ["ECG", "acc", "ABP"],
            p_signal=physical,
            fmt=["16"] * 3,
            write_dir=tmp_path,
        )
        for name in ("watch.hea", "watch.dat", "watch"):
            found = read_signal(tmp_path / name, channels=["ABP", "ECG"])
            assert (found.record, found.rate, found.units) == ("watch", 64, ("mmHg", "mV"))
            np.testing.assert_allclose(found.signal, physical.T[[2, 0]], atol=0.05)

    @pytest.mark.parametrize("suffix", ["edf", "bdf"])
    def test_edf_and_bdf(self, tmp_path, suffix):
        found = read_signal(edf(tmp_path / f"a.{suffix}"), channels=["SpO2", "EEG Fz"])
        assert (found.channels, found.units, found.rate) == (("SpO2", "EEG Fz"), ("%", "uV"), 64)
        np.testing.assert_allclose(found.signal, STEPS[[2, 0]], atol=0.1)

    def test_channels_of_another_rate_are_read_by_themselves(self, tmp_path):
        path = edf(tmp_path / "a.edf", rates=(64, 64, 1))
        with pytest.raises(
            FormatError, match=r"different rates \(EEG Fz 64 Hz, .*SpO2 1 Hz\); ask for channels of one"
        ):
            read_signal(path)
        assert read_signal(path, channels=["SpO2"]).rate == 1
        assert read_signal(path, channels=["EEG Fz", "EEG Cz"]).rate == 64

    def test_parquet(self, tmp_path):
        frame = pd.DataFrame(dict(zip(("PPG (a.u.)", "acc x (g)"), STEPS, strict=False)) | {"label": "run"})
        frame.to_parquet(tmp_path / "a.parquet")
        found = read_signal(tmp_path / "a.parquet", rate=64, channels=["acc x", "PPG"])
        assert found.units == ("g", "a.u.")
        np.testing.assert_array_equal(found.signal, STEPS[[1, 0]])
        with pytest.raises(FormatError, match=r"column label is .*string; expected numbers"):
            read_signal(tmp_path / "a.parquet", rate=64, channels=["label"], units="")

    @pytest.mark.parametrize("suffix", ["dcm", "parquet", "hea"])
    def test_an_ecg_is_read_in_its_units(self, tmp_path, suffix):
        ecg = synthetic_ecg(rate=100, duration=5, seed=0).ecg
        write_ecg(ECG(ecg.signal, 100), tmp_path / f"a.{suffix}")
        found = read_signal(tmp_path / f"a.{suffix}", channels=["V1"]).in_units(("mV",))
        np.testing.assert_allclose(found.signal[0], ecg.select(["V1"]).signal[0], atol=0.003)

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ({"rate": 100}, FormatError, "the rate is 64 Hz, but rate=100 was given; leave rate out"),
            ({"units": "mV"}, FormatError, "the unit of EEG Fz is 'uV', but 'mV' was given; leave units out"),
            ({"channels": ["Fz"]}, ChannelError, r"no channel Fz \(it has EEG Fz, EEG Cz, SpO2\)"),
            ({"channels": "SpO2"}, ChannelError, r"channels='SpO2' is one text; give names, as \['SpO2'\]"),
            ({"record": "2"}, FormatError, "record '2' was asked for"),
            ({"most_samples": 639}, FormatError, "640 samples of a channel; expected at most 639"),
        ],
    )
    def test_what_the_file_states_is_not_overruled(self, tmp_path, given, error, message):
        with pytest.raises(error, match=message):
            read_signal(edf(tmp_path / "a.edf"), **given)


class TestWhatABundleAssumes:
    def test_what_neither_file_nor_user_states_is_taken_from_the_bundle_and_said(self, tmp_path):
        np.save(tmp_path / "a.npy", STEPS[:2])
        found = read_signal(tmp_path / "a.npy", assumed=AS_BUNDLES)
        assert (found.rate, found.channels, found.units) == (32, ("acc y", "PPG"), ("g", "a.u."))
        (note,) = found.notes
        assert note.startswith(
            "assumed: channels acc y, PPG, rate 32 Hz, unit g, a.u. of acc y, PPG; the file does not"
        )

    def test_what_the_file_states_is_taken_as_it_is(self, tmp_path):
        path = table(tmp_path / "a.csv", ("PPG (V)", "acc x (g)", "acc y"))
        found = read_signal(path, rate=64, assumed=AS_BUNDLES)
        assert (found.rate, found.channels, found.units) == (64, ("acc y", "PPG"), ("g", "V"))
        (note,) = found.notes
        assert note.startswith("assumed: unit g of acc y; the file")

    def test_a_file_that_says_all_has_nothing_assumed(self, tmp_path):
        path = edf(tmp_path / "a.edf", labels=("PPG", "acc x", "acc y"))
        found = read_signal(path, assumed=AS_BUNDLES)
        assert (found.channels, found.units, found.notes) == (("acc y", "PPG"), ("%", "uV"), ())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"PPG (a.u.)\n1\nx\n", "line 3 of the table has 'x' where a number is expected"),
        ("a.csv", b"PPG,acc\n", "a header row and no samples"),
        ("a.csv", b"timestamp\n1\n2\n", "no column is a channel"),
        ("a.csv", b"PPG\nnan\nnan\n", "none of its samples is a number"),
        ("a.npy", b"\x93NUMPY\x01", "cannot be read"),
        ("a.bin", b"\x01\x02\x03\x04", "not a format that is known .*Signals are read from tables"),
        ("a.xml", b"<?xml version='1.0'?><signal/>", "not a format that is known .XML of another kind"),
    ],
)
def test_what_is_no_signal_is_refused_with_what_was_found(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=rf"{name}: .*{message}"):
        read_signal(tmp_path / name, rate=64, units="")


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"none.csv: no such file, and no WFDB header none.csv.hea"):
        read_signal(tmp_path / "none.csv")
    with pytest.raises(FormatError, match="a folder, not a recording"):
        read_signal(tmp_path)
