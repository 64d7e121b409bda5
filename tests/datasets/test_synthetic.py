"""Synthetic ECGs show what they are asked to show, measured on the signal itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from ecoscale.datasets.synthetic import (
    CODE15_PREVALENCE,
    EVEN_PREVALENCE,
    NO_NOISE,
    Heart,
    Noise,
    Torso,
    random_findings,
    random_heart,
    synthetic_collection,
    synthetic_ecg,
)
from ecoscale.datasets.synthetic_heart import GENERATED
from ecoscale.ecg import LEADS
from ecoscale.errors import SignalError

CASES = [(), ("1dAVb",), ("RBBB",), ("LBBB",), ("SB",), ("ST",), ("AF",), ("AF", "RBBB"), ("1dAVb", "ST", "LBBB")]


def lead(made, name):
    return made.ecg.signal[LEADS.index(name)].astype(float)


def detected_beats(made):
    """Times of QRS complexes, found without knowing where they were put."""
    steepness = np.sqrt(np.sum(np.gradient(made.ecg.signal.astype(float), axis=1) ** 2, axis=0))
    width = int(0.1 * made.ecg.rate)
    energy = np.convolve(steepness, np.hanning(width) / width, mode="same")
    return find_peaks(energy, height=0.4 * energy.max(), distance=int(0.2 * made.ecg.rate))[0] / made.ecg.rate


def beat(made, name, index=2, before=0.0, after=0.2):
    """One lead around the beginning of a QRS."""
    rate, onset = made.ecg.rate, made.qrs_onsets[index]
    return lead(made, name)[round((onset - before) * rate) : round((onset + after) * rate)]


def clean(heart, **options):
    return synthetic_ecg(heart=heart, noise=NO_NOISE, rate=1000, torso=Torso(), **options)


@pytest.mark.parametrize("findings", CASES)
def test_it_shows_exactly_the_findings_asked_for(findings):
    for seed in range(5):
        made = synthetic_ecg(findings, seed=seed)
        assert set(made.findings) == set(findings)
        assert made.ecg.leads == LEADS
        assert made.ecg.signal.shape == (12, 5000)
        assert made.ecg.signal.dtype == np.float32


@pytest.mark.parametrize(
    ("findings", "names"),
    [
        (("SB", "ST"), ("SB", "ST")),
        (("AF", "SB"), ("SB", "AF")),
        (("ST", "AF"), ("ST", "AF")),
        (("AF", "1dAVb"), ("1dAVb", "AF")),
        (("RBBB", "AF", "LBBB"), ("RBBB", "LBBB")),
    ],
)
def test_findings_that_contradict_each_other_are_refused_by_name(findings, names):
    with pytest.raises(SignalError, match=f"{names[0]} and {names[1]} contradict"):
        synthetic_ecg(findings)


def test_an_unknown_finding_is_refused_by_name():
    with pytest.raises(SignalError, match="WPW"):
        synthetic_ecg(["WPW"])


def test_findings_that_the_heart_does_not_show_are_refused():
    with pytest.raises(SignalError, match="RBBB"):
        synthetic_ecg(["RBBB"], heart=Heart())


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 10},
        {"rate": 180, "pr_interval": 0.3},
        {"pr_interval": None},
        {"qrs_duration": 0.14},
        {"conduction": "LBBB"},
        {"conduction": "delta"},
        {"atrial_fibrillation": True},
        {"atrial_fibrillation": True, "pr_interval": None},
        {"rr_variation": 0.3},
    ],
)
def test_a_heart_that_contradicts_itself_is_refused(values):
    with pytest.raises(SignalError, match="this heart cannot be"):
        Heart(**values)


@pytest.mark.parametrize("size", [{"duration": 0}, {"rate": -1}, {"duration": float("nan")}])
def test_a_recording_without_samples_is_refused(size):
    with pytest.raises(SignalError):
        synthetic_ecg(**size)


@given(
    rate=st.floats(30, 140),
    pr_interval=st.floats(0.12, 0.3),
    qrs_duration=st.floats(0.07, 0.11),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_findings_follow_from_the_parameters(rate, pr_interval, qrs_duration, seed):
    made = synthetic_ecg(heart=Heart(rate, pr_interval, qrs_duration), seed=seed, rate=250)
    assert ("1dAVb" in made.findings) == (pr_interval > 0.2)
    assert ("SB" in made.findings) == (rate < 60)
    assert ("ST" in made.findings) == (rate > 100)
    assert not {"AF", "RBBB", "LBBB"} & set(made.findings)


@given(
    findings=st.sampled_from(CASES),
    rate=st.sampled_from([100, 257, 400, 500, 1000]),
    duration=st.floats(0.5, 12),
    seed=st.integers(0, 2**32),
    level=st.sampled_from([0, 1, 10]),
)
@settings(max_examples=30, deadline=None)
def test_limb_leads_obey_einthoven_and_goldberger_whatever_the_noise(findings, rate, duration, seed, level):
    made = synthetic_ecg(findings, rate=rate, duration=duration, seed=seed, noise=Noise().scaled(level))
    one, two = lead(made, "I"), lead(made, "II")
    rounding = 4 * np.finfo(np.float32).eps * max(1, np.abs(made.ecg.signal).max())
    for name, expected in {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }.items():
        np.testing.assert_allclose(lead(made, name), expected, atol=rounding, rtol=0)


def test_the_same_seed_gives_the_same_signal_and_another_seed_another():
    one, same, other = (synthetic_ecg(["AF"], seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.ecg.signal, same.ecg.signal)
    assert not np.array_equal(one.ecg.signal, other.ecg.signal)


@pytest.mark.parametrize("findings", CASES)
def test_nothing_about_it_is_doubtful_and_its_amplitude_is_a_hearts(findings):
    for seed in range(8):
        for noise in (NO_NOISE, Noise(), Noise().scaled(3)):
            assert synthetic_ecg(findings, seed=seed, noise=noise).ecg.check() == ()
        made = synthetic_ecg(findings, seed=seed, noise=NO_NOISE)
        assert 0.5 < np.abs(made.ecg.signal).max() < 5
        if "LBBB" not in findings:  # its axis is to the left, and lead II small
            assert 0.4 < beat(made, "II", after=0.1).max() < 2.5


@given(st.floats(40, 170), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_the_detected_heart_rate_is_the_one_asked_for(rate, seed):
    made = synthetic_ecg(heart=Heart(rate, 0.14, 0.08), seed=seed, rate=500, noise=NO_NOISE)
    beats = detected_beats(made)
    whole = beats[(beats > 0.2) & (beats < 9.8)]
    # Two detections, each right to a sample or two, and sinus arrhythmia of 3 %.
    assert 60 / np.diff(whole).mean() == pytest.approx(rate, rel=0.03)
    assert 60 / np.diff(made.r_peaks).mean() == pytest.approx(rate, rel=1e-9)


def test_r_peaks_are_where_the_leads_are_largest():
    made = clean(Heart(70), seed=3)
    size = np.sqrt(np.sum(made.ecg.select(["I", "II", *LEADS[6:]]).signal ** 2, axis=0))
    for peak in made.r_peaks[1:-1]:
        around = np.arange(round((peak - 0.1) * 1000), round((peak + 0.1) * 1000))
        assert around[size[around].argmax()] / 1000 == pytest.approx(peak, abs=0.002)


@pytest.mark.parametrize("pr_interval", [0.12, 0.16, 0.2, 0.25, 0.32])
def test_p_begins_the_pr_interval_before_qrs(pr_interval):
    made = clean(Heart(50, pr_interval), seed=1)
    size = np.abs(made.ecg.signal).max(axis=0)
    for onset in made.qrs_onsets[1:-1]:
        quiet_and_p = size[round((onset - 0.36) * 1000) : round((onset - 0.005) * 1000)]
        p_begins = (np.argmax(quiet_and_p > 0.002) + round((onset - 0.36) * 1000)) / 1000
        # 2 uV of a wave that rises smoothly from nothing are reached within 4 ms.
        assert onset - p_begins == pytest.approx(pr_interval, abs=0.004)


@pytest.mark.parametrize(
    ("conduction", "duration"), [("normal", 0.08), ("normal", 0.11), ("RBBB", 0.13), ("RBBB", 0.17)]
)
def test_qrs_lasts_as_long_as_asked(conduction, duration):
    made = clean(Heart(60, 0.18, duration, conduction), seed=2)
    size = np.abs(made.ecg.signal).max(axis=0)
    for onset in made.qrs_onsets[1:-1]:
        first = round((onset - 0.05) * 1000)
        moving = np.flatnonzero(size[first : round((onset + duration + 0.015) * 1000)] > 0.003) + first
        assert moving[0] / 1000 == pytest.approx(onset, abs=0.003)
        assert np.ptp(moving) / 1000 == pytest.approx(duration, abs=0.007)


def test_qt_shortens_with_the_rate():
    assert Heart(50).qt_interval > 0.4 > Heart(120).qt_interval > 0.28


@pytest.mark.parametrize("seed", range(20))
def test_rbbb_ends_forward_and_to_the_right(seed):
    made = synthetic_ecg(["RBBB"], seed=seed, noise=NO_NOISE, rate=1000)
    duration = made.heart.qrs_duration
    assert duration >= 0.12
    late = slice(round(550 * duration), round(850 * duration))
    for name in ("V1", "V2"):
        qrs = beat(made, name, after=duration)
        r, s = qrs[: round(220 * duration)].max(), qrs[: late.start].min()
        assert r > 0.05
        assert s < r
        assert qrs[late].max() > max(0.3, r)
    for name in ("I", "V6"):
        qrs = beat(made, name, after=duration)
        assert qrs.max() > 0.2
        assert qrs[late].mean() < -0.05


@pytest.mark.parametrize("seed", range(20))
def test_lbbb_goes_back_and_to_the_left_and_st_t_the_other_way(seed):
    made = synthetic_ecg(["LBBB"], seed=seed, noise=NO_NOISE, rate=1000)
    heart = made.heart
    assert heart.qrs_duration >= 0.12
    for name in ("V1", "V2"):
        qrs = beat(made, name, after=heart.qrs_duration)
        assert qrs.min() < -0.8
        assert qrs.max() < 0.35 * -qrs.min()
    for name, sign in {"I": 1, "V5": 1, "V6": 1, "V1": -1, "V2": -1}.items():
        qrs = sign * beat(made, name, after=heart.qrs_duration)
        st_t = sign * beat(made, name, after=heart.qt_interval)[len(qrs) + 20 :]
        assert np.trapezoid(qrs) > 0
        assert st_t.mean() < 0
    v6 = beat(made, "V6", after=heart.qrs_duration)
    assert v6[: len(v6) // 3].min() > -0.05, "no q"
    assert np.mean(v6 > v6.max() / 2) * heart.qrs_duration > 0.05, "broad"


def test_af_is_irregularly_irregular():
    for seed in range(10):
        made = synthetic_ecg(["AF"], seed=seed)
        intervals = np.diff(made.r_peaks)
        assert intervals.std() / intervals.mean() > 0.1
        sinus = np.diff(synthetic_ecg(seed=seed).r_peaks)
        assert sinus.std() / sinus.mean() < 0.08


def before_qrs(made, name):
    """The beats' average from 0.26 s to 0.02 s before QRS: what is locked to the beat stays, the rest averages out."""
    segments = [beat(made, name, index, before=0.26, after=-0.02) for index in range(2, len(made.qrs_onsets) - 2)]
    shortest = min(map(len, segments))
    average = np.mean([segment[:shortest] - segment.mean() for segment in segments], axis=0)
    return float(np.ptp(average))


def test_af_has_no_p_wave():
    fibrillating = Heart(55, None, atrial_fibrillation=True, rr_variation=0.15)
    assert before_qrs(clean(Heart(55, 0.2), duration=120), "II") > 0.08
    assert before_qrs(clean(fibrillating, duration=120), "II") < 0.03


def test_af_waves_lie_between_4_and_9_hz_and_are_largest_in_v1():
    heart = Heart(30, None, atrial_fibrillation=True, rr_variation=0.1)
    made = clean(heart, duration=60)
    power = {}
    for name in LEADS:
        between = [beat(made, name, i, before=0.7, after=-0.05) for i in range(1, len(made.qrs_onsets))]
        spectra = [np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)), 4000)) ** 2 for x in between]
        power[name] = np.mean(spectra, axis=0)
    frequencies = np.fft.rfftfreq(4000, 1 / 1000)
    assert 4 <= frequencies[power["V1"].argmax()] <= 9
    assert max(power, key=lambda name: power[name].sum()) == "V1"


def test_without_noise_the_baseline_is_zero_and_with_noise_its_size_is_the_one_asked_for():
    quiet = clean(Heart(60), seed=5)
    onset = quiet.qrs_onsets[1]
    assert np.all(quiet.ecg.signal[:, round((onset - 0.3) * 1000) : round((onset - 0.2) * 1000)] == 0)
    for noise in (Noise(0.02, 0, 0), Noise(0, 0.02, 0), Noise(0, 0, 0.1)):
        added = [
            synthetic_ecg(heart=Heart(60), torso=Torso(), rate=1000, seed=seed, noise=noise).ecg.signal
            - clean(Heart(60), seed=seed).ecg.signal
            for seed in range(20)
        ]
        size = np.sqrt(np.mean(np.square([signal[0] for signal in added])))
        # The amplitude of hum is its root mean square times the square root of two.
        expected = max(noise.muscle, noise.mains / np.sqrt(2), noise.wander)
        # 20 seeds times two electrodes: the standard error of a root mean square is about 11 %.
        assert size == pytest.approx(expected, rel=0.35)


def test_wander_is_slow_and_hum_is_at_the_mains_frequency():
    for noise, low, high in ((Noise(0, 0, 0.1), 0, 0.5), (Noise(0, 0.05, 0, mains_frequency=50), 49.8, 50.2)):
        options = {"heart": Heart(60), "torso": Torso(), "rate": 500, "duration": 60.0, "seed": 1}
        added = synthetic_ecg(noise=noise, **options).ecg.signal - synthetic_ecg(noise=NO_NOISE, **options).ecg.signal
        power = np.abs(np.fft.rfft(added * np.hanning(added.shape[1]))) ** 2
        frequencies = np.fft.rfftfreq(added.shape[1], 1 / 500)
        inside = (frequencies >= low) & (frequencies <= high)
        assert power[:, inside].sum() > 0.99 * power.sum()


def test_hum_above_half_the_rate_is_not_folded_into_the_signal():
    options = {"seed": 2, "rate": 100}
    hum = synthetic_ecg(noise=Noise(0, 0.1, 0), **options)
    np.testing.assert_array_equal(hum.ecg.signal, synthetic_ecg(noise=NO_NOISE, **options).ecg.signal)


def test_a_drawn_heart_is_inside_the_definition_of_its_findings():
    random = np.random.default_rng(0)
    for findings in CASES * 20:
        assert set(random_heart(findings, random).findings) == set(findings)


def test_findings_are_drawn_as_often_as_the_prevalence_says():
    random = np.random.default_rng(1)
    n = 4000
    drawn = [random_findings(random, EVEN_PREVALENCE) for _ in range(n)]
    for name, share in EVEN_PREVALENCE.items():
        # Four standard errors of a proportion.
        assert np.mean([name in found for found in drawn]) == pytest.approx(share, abs=4 * np.sqrt(share / n))
    assert sum(CODE15_PREVALENCE.values()) * 345_779 == pytest.approx(5716 + 9672 + 6026 + 5605 + 7584 + 7033)
    assert set(CODE15_PREVALENCE) == set(GENERATED)


@pytest.mark.parametrize("prevalence", [{"SB": 0.6, "ST": 0.6}, {"RBBB": 1.1}, {"AF": -0.1}, {"WPW": 0.1}])
def test_an_impossible_prevalence_is_refused(prevalence):
    with pytest.raises(SignalError, match="prevalence"):
        random_findings(np.random.default_rng(0), prevalence)


def test_a_collection_is_of_different_people_and_does_not_depend_on_its_length():
    five = list(synthetic_collection(5, seed=3, prevalence=EVEN_PREVALENCE))
    three = list(synthetic_collection(3, seed=3, prevalence=EVEN_PREVALENCE))
    assert [made.ecg.record for made in five] == ["00000", "00001", "00002", "00003", "00004"]
    assert len({made.heart for made in five}) == 5
    for one, other in zip(three, five[:3], strict=True):
        np.testing.assert_array_equal(one.ecg.signal, other.ecg.signal)


def test_a_collection_that_cannot_be_drawn_is_refused_at_once():
    with pytest.raises(SignalError, match="contradict"):
        synthetic_collection(3, findings=["AF", "SB"])


def test_moments_lie_in_the_parts_of_the_beats_also_at_both_ends():
    made = synthetic_ecg(["1dAVb"], seed=3, duration=20)
    times = np.arange(-1, 21, 0.001)
    heart, n_beats = made.heart, len(made.beats)
    assert np.isin(made.qrs_onsets, made.beats).all()
    assert made.beats[0] < 0
    assert made.beats[-1] > 20
    inside = (times > made.beats[1]) & (times < made.beats[-2])
    expected = {"QRS": heart.qrs_duration, "PR": heart.pr_interval}
    for part, length in expected.items():
        seconds = made.during(part, times)[inside].sum() / 1000
        assert seconds == pytest.approx((n_beats - 3) * length, abs=0.02)
    whole = made.during("TQ", times) | np.any(
        [(times >= beat) & (times < beat + heart.qt_interval) for beat in made.beats], axis=0
    )
    assert whole.all()
    assert not (made.during("TQ", times) & made.during("QRS", times)).any()
    assert (made.during("PR", times) | ~made.during("P", times)).all()


def test_a_part_that_the_heart_does_not_have_is_refused():
    with pytest.raises(SignalError, match="no part 'P' of a beat of this heart; there are QRS, T, TQ"):
        synthetic_ecg(["AF"]).during("P", [1.0])
