"""What a module learns from, and the networks that a run keeps."""

from types import SimpleNamespace

import pytest
import torch

from ecoscale.preparation import Preparation
from ecoscale.training import Recipe
from ecoscale.training.module import TrainingModule


@pytest.fixture
def module(tiny_recipe):
    def made(seed=0, auxiliary=None, **optimisation):
        content = tiny_recipe.model_dump() | {"seed": seed, "auxiliary": auxiliary}
        content["optimisation"] |= optimisation
        return TrainingModule(Recipe.model_validate(content), Preparation(window=800))

    return made


def weights(network):
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])


def test_the_seed_decides_the_first_weights(module):
    torch.manual_seed(99)
    first = weights(module(seed=3).network)
    assert torch.equal(weights(module(seed=3).network), first)
    assert not torch.equal(weights(module(seed=4).network), first)


def test_without_an_average_the_network_trained_is_the_one_measured(module):
    trained = module(ema_decay=None)
    assert trained.evaluated_network is trained.network


def test_the_average_follows_the_weights_and_stays_among_them(module):
    trained = module(ema_decay=0.9)
    trained.on_train_batch_end(None, None, 0)
    start = weights(trained.network)
    assert torch.equal(weights(trained.evaluated_network), start)
    with torch.no_grad():
        for parameter in trained.network.parameters():
            parameter.add_(1.0)
    shares = []
    for batch in range(40):
        trained.on_train_batch_end(None, None, batch)
        shares.append((weights(trained.evaluated_network) - start).mean().item())
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1
    # At first it follows closely; a fixed decay of 0.9 would have come a tenth of the way.
    assert shares[0] > 0.5
    assert shares[-1] == pytest.approx(1, abs=0.01)


def test_an_even_average_is_the_mean_of_the_weights_from_its_start_on(module):
    trained = module(ema_decay=None, swa_start=0.5)
    start = weights(trained.network)
    for step in range(1, 11):
        trained.trainer = SimpleNamespace(estimated_stepping_batches=10, global_step=step)
        with torch.no_grad():
            for parameter in trained.network.parameters():
                parameter.add_(1.0)
        trained.on_train_batch_end(None, None, step)
        moved = (weights(trained.evaluated_network) - start).mean().item()
        # Up to the start it is the network itself; from then on the mean of 5, 6, ..., step.
        assert moved == pytest.approx(step if step <= 5 else (5 + step) / 2, abs=1e-4)


def test_validation_scores_the_average(module):
    trained = module(ema_decay=0.9)
    with torch.no_grad():
        trained.network.head.bias.fill_(50.0)
        trained.evaluated_network.head.bias.fill_(-50.0)
    trained.eval()
    trained.log = lambda *_args, **_options: None
    with torch.no_grad():
        trained.validation_step((torch.zeros(2, 12, 800), torch.tensor([[1] * 6, [0] * 6])), 0)
        trained.on_validation_epoch_end()
    assert (trained.validation_logits < 0).all()


AUXILIARY = {"scheme": "CODE", "codes": ["RBBB", "LBBB"], "weight": 0.5}


def test_auxiliary_codes_are_learnt_and_not_shipped(module):
    trained = module(ema_decay=0.9, auxiliary=AUXILIARY)
    assert trained.network.head.out_features == 8
    shipped = trained.shipped_network()
    assert not shipped.training
    x = torch.randn(2, 12, 800)
    with torch.inference_mode():
        both, findings = trained.eval().evaluated_network(x), shipped(x)
    assert (both.shape, findings.shape) == ((2, 8), (2, 6))
    torch.testing.assert_close(findings, both[:, :6])


def test_what_is_shipped_no_longer_changes_with_the_training(module):
    trained = module(ema_decay=None)
    shipped = trained.shipped_network()
    before = weights(shipped)
    with torch.no_grad():
        for parameter in trained.network.parameters():
            parameter.zero_()
    assert torch.equal(weights(shipped), before)


def test_the_auxiliary_loss_counts_with_its_weight(module):
    losses = {}
    for name, auxiliary in (("without", None), ("with", AUXILIARY)):
        trained = module(auxiliary=auxiliary)
        trained.log = lambda *_args, **_options: None
        with torch.no_grad():
            trained.network.head.weight.zero_()
            trained.network.head.bias.zero_()
        labels = torch.zeros(2, trained.network.head.out_features, dtype=torch.int8)
        losses[name] = trained.training_step((torch.zeros(2, 12, 800), labels), 0).item()
    ln2 = torch.tensor(2.0).log().item()
    assert losses["without"] == pytest.approx(ln2)
    assert losses["with"] == pytest.approx(1.5 * ln2)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (4, 0.25), (10, 0.1), (10, 0.3), (100, 0.0)])
def test_every_schedule_runs_to_its_end_and_never_above_the_peak(module, schedule, steps, warmup):
    trained = module(schedule=schedule, warmup=warmup, learning_rate=0.01)
    trained.trainer = SimpleNamespace(estimated_stepping_batches=steps)
    configured = trained.configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert max(rates) <= 0.01
    assert steps == 1 or rates[-1] < 0.3 * max(rates)
