"""The signal contract for channels of any kind: names, units, resampling, and the checks that know no unit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG
from ecoscale.errors import ChannelError, LeadError, SignalError
from ecoscale.signal import Signal
from ecoscale.units import plain_unit, unit_factor

NOISE = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)


def signal(rows=NOISE, rate=50, channels=("PPG", "acc x"), units=("a.u.", "g"), **about):
    return Signal(rows, rate, channels[: len(rows)], units[: len(rows)], **about)


def codes(found):
    return [each.partition(":")[0] for each in found.check()]


class TestContract:
    def test_channels_have_names_and_units(self):
        found = signal(source="a.csv", record="7")
        assert (found.n_channels, found.n_samples, found.duration, found.rate) == (2, 500, 10, 50)
        assert found.signal.dtype == np.float32
        assert (found.channels, found.units) == (("PPG", "acc x"), ("a.u.", "g"))
        assert repr(found) == "<a.csv 7: 2 channels, 10.00 s at 50 Hz>"

    def test_one_unit_is_that_of_every_channel_and_micro_signs_are_one(self):
        assert Signal(NOISE, 256, ["Fz", "Cz"], "\N{MICRO SIGN}V").units == ("uV", "uV")
        assert Signal(NOISE, 256, ["Fz", "Cz"], ["\N{GREEK SMALL LETTER MU}V", ""]).units == ("uV", "")

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"rows": NOISE[0]}, SignalError, r"shape \(500,\); expected \(channels, samples\)"),
            ({"rate": 0}, SignalError, "rate is 0; expected a positive number"),
            ({"channels": ("PPG",)}, ChannelError, r"1 channel names for 2 rows .* \(channels, samples\)"),
            ({"channels": ("PPG", "PPG")}, ChannelError, "a channel is named twice in PPG, PPG"),
            ({"channels": ("PPG", "")}, ChannelError, "a channel has no name"),
            ({"channels": "PP"}, ChannelError, "channels is the text 'PP'"),
            ({"units": ("g",)}, SignalError, "1 units for 2 channels; expected one for all or one a channel"),
        ],
    )
    def test_what_cannot_be_is_refused(self, change, error, message):
        given = {"rows": NOISE, "rate": 50, "channels": ("PPG", "acc x"), "units": ("a.u.", "g")} | change
        with pytest.raises(error, match=f"a.csv: .*{message}"):
            Signal(given["rows"], given["rate"], given["channels"], given["units"], source="a.csv")

    def test_an_ecg_is_a_signal_of_its_leads_in_millivolts(self):
        ecg = synthetic_ecg(rate=100, duration=5, seed=0).ecg
        assert isinstance(ecg, Signal)
        assert ecg.channels == ecg.leads
        assert ecg.units == ("mV",) * 12
        two = replace(ecg.select(["V1", "I"]), notes=("a: b",))
        assert (type(two), two.leads, two.channels, two.notes) == (ECG, ("V1", "I"), ("V1", "I"), ("a: b",))
        with pytest.raises(LeadError, match="no lead V7"):
            ecg.select(["V7"])


class TestChannels:
    def test_channels_are_selected_with_their_units(self):
        found = signal().select(["acc x"])
        assert (found.channels, found.units) == (("acc x",), ("g",))
        np.testing.assert_array_equal(found.signal, NOISE[1:])

    def test_a_missing_channel_is_named_beside_those_there_are(self):
        with pytest.raises(ChannelError, match=r"b.npy: no channel ppg \(it has PPG, acc x\); .*letter by letter"):
            signal(source="b.npy").select(["ppg"])

    def test_gaps_are_filled_within_their_channel(self):
        found = signal(np.array([[1, np.nan, 3], [np.nan] * 3])).fill_gaps()
        np.testing.assert_array_equal(found.signal, [[1, 2, 3], [0, 0, 0]])

    def test_a_signal_is_resampled_and_stays_what_it_is(self):
        slow = Signal(np.sin(np.arange(600) / 60)[None], 1, ("load",), "kW").resample(0.5)
        assert (slow.rate, slow.n_samples, slow.channels, slow.units) == (0.5, 300, ("load",), ("kW",))
        np.testing.assert_allclose(slow.signal[0, 5:-5], np.sin(np.arange(300) / 30)[5:-5], atol=0.005)


class TestUnits:
    @pytest.mark.parametrize(
        ("found", "wanted", "factor"),
        [
            ("mV", "mV", 1),
            ("V", "mV", 1000),
            ("\N{MICRO SIGN}V", "mV", 0.001),
            ("mV", "uV", 1000),
            (" a.u.", "a.u.", 1),
            ("MV", "mV", None),
            ("bpm", "1/min", None),
            ("", "a.u.", None),
        ],
    )
    def test_voltages_differ_by_powers_of_ten_and_nothing_else_is_converted(self, found, wanted, factor):
        assert unit_factor(found, wanted) == factor

    @given(st.text())
    def test_a_plain_unit_stays_one(self, unit):
        assert plain_unit(plain_unit(unit)) == plain_unit(unit)
        assert unit_factor(unit, unit) == 1

    def test_a_signal_is_brought_to_other_units_by_channel(self):
        found = signal(units=("uV", "g")).in_units(("mV", "g"))
        assert found.units == ("mV", "g")
        np.testing.assert_allclose(found.signal, NOISE * [[0.001], [1]], rtol=1e-6)

    def test_a_unit_that_is_another_is_refused_by_its_channel(self):
        with pytest.raises(SignalError, match=r"a.csv: channel acc x is in 'g'; expected 'm/s2': convert the samples"):
            signal(source="a.csv").in_units(("a.u.", "m/s2"))


class TestChecks:
    def test_nothing_is_said_of_a_signal_without_fault(self):
        assert signal().check() == ()

    def test_notes_come_first_then_what_is_doubtful(self):
        rows = NOISE.copy()
        rows[0, :5] = np.nan
        rows[1] = 0
        first, missing, constant = signal(rows, notes=("from_paper: scanned",)).check()
        assert first == "from_paper: scanned"
        assert missing.startswith("missing_samples: PPG 1.0 % not a number")
        assert constant.startswith("constant_channel: acc x is the same number throughout")

    def test_a_rest_of_half_the_recording_is_reported_with_its_length(self):
        rows = NOISE.copy()
        rows[0, 100:350] = rows[0, 100]
        (found,) = signal(rows).check()
        assert found.startswith("flat_channel: no change at all in PPG 5 s")
        rows[0, 349] += 1
        assert codes(signal(rows)) == []

    def test_a_clipped_signal_is_told_at_any_scale(self):
        wave = np.sin(np.arange(1000) / 20) + np.random.default_rng(1).normal(scale=0.01, size=1000)
        for scale in (1e-6, 1, 1e6):
            assert codes(Signal(scale * np.clip(wave, -2, 0.9)[None], 50, ("PPG",), "a.u.")) == ["saturated"]
            assert codes(Signal(scale * wave[None], 50, ("PPG",), "a.u.")) == []

    @pytest.mark.parametrize("levels", [64, 256, 4096])
    def test_a_wave_in_steps_that_lingers_at_its_ends_is_not_clipped(self, levels):
        wave = np.rint(levels / 2 * np.sin(np.arange(20_000) / 300))
        assert codes(Signal(wave[None], 50, ("PPG",), "")) == []

    @pytest.mark.parametrize("rate", [1 / 3600, 0.5, 50])
    def test_a_switch_and_a_padded_count_are_not_clipped(self, rate):
        switch = np.repeat([0.0, 5.0] * 10, 25)
        count = np.where(np.arange(500) % 50 < 20, 0, np.arange(500) % 97)
        assert codes(Signal(np.stack([switch, count]), rate, ("door", "steps"), "")) == []
