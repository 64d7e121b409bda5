"""A window of a longer signal: when it can be read, and which bundle reads it."""

import numpy as np
import pytest

from ecoscale.datasets.synthetic import synthetic_ecg
from ecoscale.ecg import ECG, LEADS
from ecoscale.errors import LeadError
from ecoscale.excerpts import require_channels, why_unreadable, window_samples
from ecoscale.inference import Classifier
from ecoscale.preparation import Preparation


@pytest.fixture(scope="module")
def ecg():
    return synthetic_ecg(rate=250, seed=5).ecg


def changed(ecg, change):
    signal = ecg.signal.copy()
    change(signal)
    return ECG(signal, ecg.rate, ecg.leads)


def test_a_window_with_a_good_lead_can_be_read(ecg):
    assert why_unreadable(ecg) == ""
    assert why_unreadable(changed(ecg, lambda signal: signal[1:].fill(0))) == ""
    assert why_unreadable(changed(ecg, lambda signal: signal[:, :1200].fill(0.3))) == ""


@pytest.mark.parametrize(("missing", "unreadable"), [(1200, False), (1300, True), (2500, True)])
def test_one_that_is_mostly_missing_cannot(ecg, missing, unreadable):
    found = why_unreadable(changed(ecg, lambda signal: signal[:, :missing].fill(np.nan)))
    assert found.startswith("missing_samples") == unreadable


@pytest.mark.parametrize("first", [0, 400, 1200])
def test_one_in_which_every_lead_rests_for_most_of_it_cannot(ecg, first):
    found = why_unreadable(changed(ecg, lambda signal: signal[:, first : first + 1300].fill(0.1)))
    assert found == "flat_lead: no change in any lead for most of the window"


def test_a_lead_that_is_missing_saves_no_window_of_flat_leads(ecg):
    def change(signal):
        signal[:] = 0
        signal[3] = np.nan

    assert why_unreadable(changed(ecg, change)).startswith("flat_lead")


@pytest.mark.parametrize(
    ("seconds", "rate", "samples"), [(10, 500, 5000), (10, 360, 3600), (10, 128.001, 1280), (10.24, 360, 3686)]
)
def test_a_window_is_as_many_samples_as_the_network_reads_in_one_pass(seconds, rate, samples):
    preparation = Preparation(rate=100, window=round(100 * seconds), highpass=None, leads=("II",))
    assert window_samples(preparation, rate) == samples
    signal = np.random.default_rng(0).normal(size=(1, samples))
    assert preparation.windows(ECG(signal, rate, ("II",))).shape[0] == 1


def test_leads_that_a_bundle_reads_and_a_record_lacks_are_named_with_what_to_do(tiny_bundle):
    classifier = Classifier.load(tiny_bundle.path, threads=1)
    require_channels(classifier, LEADS, "here")
    require_channels(classifier, ("I", "III", *LEADS[6:]), "here")
    with pytest.raises(
        LeadError, match=r"holter.hea: no lead I, III, aVR.*V2.*found II, V1, V5.*finetune tiny .*II,V1,V5"
    ):
        require_channels(classifier, ("II", "V1", "V5"), "holter.hea")
