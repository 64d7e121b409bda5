"""A whole reproduction of the CODE-15% protocol by two tiny networks and two seeds, on synthetic exams."""

from __future__ import annotations

import pytest

from ecoscale.datasets.layouts import write_code_test
from ecoscale.reproduction import load_protocol, make_plan, reproduce

TINY = {
    "preparation.rate": 100,
    "preparation.window": 800,
    "optimisation.epochs": 2,
    "optimisation.batch_size": 16,
    "ecoscalenet:model.config.width": 8,
    "oscnn:model.config.largest_kernel": 5,
    "oscnn:model.config.width": 0.05,
}


@pytest.fixture(scope="session")
def tiny_changes():
    """What makes the protocol's recipes tiny."""
    return TINY


@pytest.fixture(scope="session")
def plan_in():
    """The plan of two tiny networks in a folder: `plan_in(folder, models=..., **changes)`."""

    def made(folder, models=("ecoscalenet", "oscnn"), seeds=2, **changes):
        own = TINY | {key.replace("__", "."): value for key, value in changes.items()}
        return make_plan(load_protocol("code15"), folder, models=models, seeds=seeds, changes=own)

    return made


@pytest.fixture(scope="session")
def code_test(tmp_path_factory):
    """A synthetic CODE-test of 30 exams."""
    folder = tmp_path_factory.mktemp("code-test")
    write_code_test(folder, 30, seed=5)
    return folder


@pytest.fixture(scope="session")
def done(tmp_path_factory, plan_in, code15, code_test):
    """The plan of a finished reproduction with its external test. Read its folder, do not change it."""
    plan = plan_in(tmp_path_factory.mktemp("reproduction") / "code15")
    reproduce(plan, code15, external=code_test)
    return plan
