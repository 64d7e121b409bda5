import numpy as np

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.explaining import explain_by_insertion, explain_ecg
from ecoscale.explaining.insertion import insertion_map, p_wave
from ecoscale.inference import Classifier
from ecoscale.preparation import Preparation

LEADS = ("I", "II", "aVR", "V1")


def test_the_wave_is_a_p_wave_upright_in_two_and_upside_down_in_avr():
    wave = dict(zip(LEADS, p_wave(500, LEADS), strict=True))
    assert 0.05 < wave["II"].max() < 0.25
    assert wave["II"].min() > -0.01
    assert wave["aVR"].max() < 0.01
    assert all(abs(row[0]) < 0.005 and abs(row[-1]) < 0.005 for row in wave.values())


def test_a_moment_at_which_the_network_looks_for_a_wave_is_found():
    preparation = Preparation(leads=LEADS, scale=0.2)

    def without_p(windows):
        """One less for every millivolt of lead II from 4 to 4.5 s."""
        return -windows[:, 1:2, 400:450].sum(axis=2)

    found = insertion_map(without_p, np.zeros((4, 1000), dtype=np.float32), 0, preparation)
    assert not found[[0, 2, 3]].any()
    assert np.argmax(found[1]) in range(400, 450)
    assert not found[1, :380].any()
    assert not found[1, 470:].any()


def test_in_atrial_fibrillation_it_is_between_t_and_qrs_that_a_p_wave_is_missed():
    classifier, made = Classifier.load(), synthetic_ecg(["AF"], seed=3, duration=6)
    found = explain_by_insertion(classifier, made.ecg, "AF")
    assert (found.method, found.values.shape) == ("insertion", (12, 150))
    assert found.probability == explain_ecg(classifier, made.ecg, "AF").probability
    supporting = np.clip(found.values, 0, None).sum(axis=0)
    middles = found.step * (np.arange(150) + 0.5)
    assert supporting[made.during("TQ", middles)].mean() > 1.3 * supporting.mean()
    assert supporting[made.during("QRS", middles)].mean() < 0.7 * supporting.mean()
