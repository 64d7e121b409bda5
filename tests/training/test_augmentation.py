"""Augmentation: each option does one thing, and nothing when it is off."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoscale.training.augmentation import augment, mix
from ecoscale.training.recipe import Augmentation

RATE = 100.0


def changed(x, seed=0, **options):
    return augment(x, Augmentation(**options), RATE, torch.Generator().manual_seed(seed))


@pytest.fixture
def signals():
    return torch.randn(64, 12, 300, generator=torch.Generator().manual_seed(9))


EVERY = [{"gain": 0.3}, {"lead_gain": 0.3}, {"noise": 0.1}, {"wander": 0.5}, {"lead_dropout": 0.3}, {"crop": 0.7}]
EVERY += [{"time_warp": 0.3}]


def test_nothing_asked_changes_nothing(signals):
    assert torch.equal(changed(signals), signals)


@pytest.mark.parametrize("option", EVERY, ids=lambda option: next(iter(option)))
def test_each_option_changes_the_signals_and_keeps_their_shape_and_type(signals, option):
    found = changed(signals, **option)
    assert not torch.equal(found, signals)
    assert (found.shape, found.dtype) == (signals.shape, signals.dtype)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("option", EVERY, ids=lambda option: next(iter(option)))
def test_the_generator_alone_decides(signals, option):
    first = changed(signals, seed=1, **option)
    torch.manual_seed(12345)
    assert torch.equal(changed(signals, seed=1, **option), first)
    assert not torch.equal(changed(signals, seed=2, **option), first)


def test_the_input_is_left_as_it_was(signals):
    before = signals.clone()
    changed(signals, **{key: value for option in EVERY for key, value in option.items()})
    assert torch.equal(signals, before)


def test_signals_stay_on_their_device():
    everything = {key: value for option in EVERY for key, value in option.items()}
    found = changed(torch.empty(4, 12, 100, device="meta"), **everything)
    assert found.device.type == "meta"


def test_gain_is_one_factor_for_a_record_and_lead_gain_one_for_each_lead(signals):
    factors = changed(signals, gain=0.2) / signals
    torch.testing.assert_close(factors, factors[:, :1, :1].expand_as(factors))
    assert factors[:, 0, 0].log().std().item() == pytest.approx(0.2, rel=0.4)
    factors = changed(signals, lead_gain=0.2) / signals
    torch.testing.assert_close(factors, factors[:, :, :1].expand_as(factors))
    assert factors[..., 0].log().std().item() == pytest.approx(0.2, rel=0.1)


def test_noise_is_at_most_as_strong_as_asked(signals):
    noise = changed(signals, noise=0.1) - signals
    assert 0.05 < noise.std(dim=(1, 2)).max().item() < 0.1 * 1.05
    assert noise.std(dim=(1, 2)).min().item() < 0.02


def test_wander_is_slow_and_at_most_as_large_as_asked():
    still = torch.zeros(32, 12, 2000)
    wander = changed(still, wander=0.5)
    assert 0.4 < wander.abs().max().item() <= 0.5
    peaks = torch.fft.rfft(wander).abs().argmax(dim=-1) * RATE / 2000
    assert ((peaks >= 0.45) & (peaks <= 1.05)).all()


def test_lead_dropout_silences_whole_leads_as_often_as_asked(signals):
    found = changed(signals, lead_dropout=0.25)
    silent = (found == 0).all(dim=-1)
    assert torch.equal(found[~silent], signals[~silent])
    assert silent.float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert not changed(signals, lead_dropout=1.0).any()


@settings(max_examples=50, deadline=None)
@given(
    samples=st.integers(1, 200),
    shortest=st.floats(0.05, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_a_crop_is_a_contiguous_piece_in_the_middle_between_zeros(samples, shortest, share, seed):
    x = torch.arange(1.0, samples + 1).expand(8, 3, samples)
    found = changed(x, seed=seed, crop=share, shortest_crop=shortest)
    for record in found:
        assert torch.equal(record[0], record[1])
        kept = record[0].nonzero().flatten()
        length = len(kept)
        assert length >= int(samples * shortest * 0.999)
        if length:
            before, after = int(kept[0]), samples - 1 - int(kept[-1])
            assert after - before in (0, 1)
            piece = record[0][kept]
            assert torch.equal(piece, torch.arange(length) + piece[0])


def test_crop_takes_the_share_of_records_asked(signals):
    whole = (changed(signals, crop=0.5, shortest_crop=0.1) == signals).all(dim=-1).all(dim=-1)
    assert whole.float().mean().item() == pytest.approx(0.5, abs=0.2)


def test_an_excerpt_is_an_unbroken_part_of_each_record_from_its_own_place(signals):
    found = changed(signals, excerpt=80)
    assert found.shape == (64, 12, 80)
    starts = set()
    for part, whole in zip(found, signals, strict=True):
        places = [first for first in range(221) if torch.equal(whole[:, first : first + 80], part)]
        assert len(places) == 1
        starts |= set(places)
    assert len(starts) > 30
    assert torch.equal(changed(signals, excerpt=300), signals)


def test_what_else_changes_a_signal_changes_the_excerpt(signals):
    noise = changed(signals, excerpt=80, noise=0.1, wander=0.2, crop=0.5)
    assert noise.shape == (64, 12, 80)
    assert torch.isfinite(noise).all()


def test_a_time_warp_moves_all_leads_alike_and_neither_end():
    ramp = torch.arange(300.0).expand(16, 12, 300) + torch.arange(12.0)[:, None]
    found = changed(ramp, time_warp=0.3) - torch.arange(12.0)[:, None]
    torch.testing.assert_close(found, found[:, :1].expand_as(found), rtol=0, atol=1e-3)
    place = found[:, 0]
    torch.testing.assert_close(place[:, [0, -1]], torch.tensor([0.0, 299.0]).expand(16, 2), rtol=0, atol=1e-2)
    assert (place.diff() > 0).all()
    # Local speeds, which are what is drawn: log-normal about the mean speed.
    assert 0.1 < place.diff().log().std().item() < 0.4


def mixed(x, targets, seed=0, **options):
    return mix(x, targets, Augmentation(**options), torch.Generator().manual_seed(seed))


@pytest.fixture
def marked():
    """Records that are constant, each with its own value, and targets that say which record it is."""
    values = torch.arange(64.0)
    return values[:, None, None].expand(64, 12, 300), values[:, None].expand(64, 2)


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 0.5}], ids=str)
def test_targets_are_mixed_in_the_shares_of_the_signals(marked, options):
    x, targets = mixed(*marked, **options)
    torch.testing.assert_close(x.mean(dim=(1, 2)), targets[:, 0], rtol=1e-4, atol=1e-2)
    assert (targets[:, 0] != marked[1][:, 0]).float().mean().item() > 0.5


def test_mixup_mixes_whole_signals_and_cutmix_replaces_one_span(marked):
    x, _ = mixed(*marked, mixup=0.4)
    torch.testing.assert_close(x, x[:, :, :1].expand_as(x))
    x, _ = mixed(*marked, cutmix=1.0)
    foreign = (x != marked[0])[:, 0]
    assert foreign.any(dim=1).float().mean().item() > 0.9
    edges = torch.nn.functional.pad(foreign.float(), (1, 1)).diff().abs().sum(dim=1)
    assert (edges <= 2).all()
    assert all(len(record.unique()) <= 2 for record in x)


def test_what_is_unknown_in_either_record_is_unknown_in_the_mixture(marked):
    targets = torch.zeros(64, 1, dtype=torch.int8)
    targets[::2] = -1
    _, found = mixed(marked[0], targets, mixup=0.4)
    assert set(found.unique().tolist()) == {-1.0, 0.0}
    assert (found[::2] == -1).all()


def test_without_mixing_signals_and_targets_are_those_given(marked):
    x, targets = mixed(*marked)
    assert x is marked[0]
    assert targets is marked[1]


@pytest.mark.parametrize("option", [{"crop": 1.0, "shortest_crop": 0.2}, {"lead_dropout": 1.0}, {"gain": 1.0}])
def test_of_other_signals_each_channels_mean_stays_where_something_is_taken_out(option):
    x = 36.5 + 0.01 * torch.randn(8, 2, 300, generator=torch.Generator().manual_seed(1))
    found = augment(x, Augmentation(**option), RATE, torch.Generator().manual_seed(0), 0.01)
    assert (found - 36.5).abs().max() < 1


def test_of_other_signals_amplitudes_are_standard_deviations_of_each_channel():
    deviation = torch.tensor([[0.01], [100.0]])
    found = augment(torch.ones(64, 2, 300), Augmentation(noise=0.5), RATE, torch.Generator().manual_seed(0), deviation)
    relative = (found - 1) / deviation
    assert float(relative.std(dim=-1).amax()) == pytest.approx(0.5, abs=0.08)
    assert float(relative[:, 0].std()) == pytest.approx(float(relative[:, 1].std()), rel=0.05)
