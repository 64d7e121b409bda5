"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecoscale.bundle import Bundle
    from ecoscale.training import Recipe, Run
    from object_storage import Bucket, ObjectStorage
    from publisher import Publisher


# The tests' networks are tiny: threads would only wait for each other. Set before torch is imported, and inherited.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says nothing of it where as many processes run tests as there are cores.
hypothesis.settings.register_profile("beside others", deadline=None)
hypothesis.settings.load_profile("beside others")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings: ECOSCALE_DATA, or shared/data beside the project."""
    stated = os.environ.get("ECOSCALE_DATA")
    folder = Path(stated) if stated else Path(__file__).parents[2] / "shared" / "data"
    if folder.is_dir():
        return folder
    if stated:
        pytest.fail(f"ECOSCALE_DATA is {stated}, which is not a folder")
    pytest.skip("no real recordings: set ECOSCALE_DATA to their folder")


@pytest.fixture
def publisher(monkeypatch) -> Iterator[Publisher]:
    """A web server on this machine that publishes collections, and misbehaves as told."""
    from publisher import Publisher

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Publisher() as started:
        yield started


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorage]:
    """An S3 server on this machine."""
    from object_storage import ObjectStorage

    with ObjectStorage() as started:
        yield started


@pytest.fixture
def bucket(object_storage, monkeypatch) -> Bucket:
    """An empty bucket of that server, which this process is signed in to."""
    for name, value in object_storage.environment.items():
        monkeypatch.setenv(name, value)
    return object_storage.bucket()


@pytest.fixture(scope="session")
def code15(tmp_path_factory) -> Path:
    """A synthetic CODE-15% of 120 exams, each finding in a good part of them."""
    from ecoscale.datasets.layouts import write_code15
    from ecoscale.datasets.synthetic import EVEN_PREVALENCE

    folder = tmp_path_factory.mktemp("code15")
    write_code15(folder, 120, seed=3, prevalence=EVEN_PREVALENCE, compression=None)
    return folder


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> Path:
    """Where the tests' prepared stores lie, so that each is made once."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Four epochs of a small EcoScale-Net on `code15` at 100 Hz, with everything random that a recipe can ask for."""
    from ecoscale.training import Recipe

    return Recipe.model_validate(
        {
            "name": "tiny",
            "description": "A small EcoScale-Net on synthetic ECGs, for tests",
            "model": {
                "name": "ecoscalenet_100hz",
                "config": {
                    "width": 8,
                    "kernel_sizes": [[1, 2, 3], [1, 2, 3], [1, 2], [1]],
                    "stochastic_depth": 0.05,
                },
            },
            "preparation": {"rate": 100, "window": 800},
            "data": {
                "train": [{"collection": "code15", "share": [0, 0.7]}],
                "validation": [{"collection": "code15", "share": [0.7, 1]}],
            },
            "augmentation": {"gain": 0.1, "noise": 0.02, "wander": 0.05, "lead_dropout": 0.05, "crop": 0.2}
            | {"time_warp": 0.05, "mixup": 0.1, "cutmix": 0.1},
            "optimisation": {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "ema_decay": 0.95},
            "seed": 1,
        }
    )


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory, code15, stores, tiny_recipe) -> Run:
    """The run of `tiny_recipe`, undisturbed. Read it, do not change it."""
    from ecoscale.training import train

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return train(tiny_recipe, {"code15": code15}, folder, stores=stores, show_progress=False)


@pytest.fixture(scope="session")
def watch(tmp_path_factory) -> Path:
    """A user's folder: lead I at 250 Hz of 36 synthetic records, two a patient, with labels AF and wide_qrs."""
    import numpy as np

    from ecoscale.datasets.synthetic import EVEN_PREVALENCE, synthetic_collection

    folder = tmp_path_factory.mktemp("watch")
    rows = ["record,patient,AF,wide_qrs"]
    for number, made in enumerate(synthetic_collection(36, seed=2, rate=250, prevalence=EVEN_PREVALENCE)):
        np.save(folder / f"{number}.npy", made.ecg.select(["I"]).signal)
        wide = bool({"LBBB", "RBBB"} & set(made.findings))
        rows.append(f"{number}.npy,patient-{number // 2},{int('AF' in made.findings)},{int(wide)}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.yaml").write_text("rate: 250\nunit: mV\nleads: [I]\n")
    return folder


@pytest.fixture(scope="session")
def blocks(tmp_path_factory) -> Path:
    """A user's folder of V1 at 100 Hz: 93 synthetic records, each narrow, RBBB or LBBB, or (the last 3) not known."""
    import numpy as np

    from ecoscale.datasets.synthetic import synthetic_ecg

    folder = tmp_path_factory.mktemp("blocks")
    classes, rows = ("narrow", "RBBB", "LBBB"), ["record,patient,narrow,RBBB,LBBB"]
    for number in range(93):
        own = classes[number % 3]
        made = synthetic_ecg(() if own == "narrow" else (own,), seed=number, rate=100, duration=8)
        np.save(folder / f"{number:02}.npy", made.ecg.select(["V1"]).signal)
        labels = ("", "", "") if number >= 90 else [int(name == own) for name in classes]
        rows.append(f"{number:02}.npy,patient-{number // 2},{','.join(map(str, labels))}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.yaml").write_text("rate: 100\nunit: mV\nleads: [V1]\n")
    return folder


@pytest.fixture(scope="session")
def block_recipe() -> Recipe:
    """Four epochs of a small FCN on `blocks`, whose three classes exclude each other."""
    from ecoscale.training import Recipe

    return Recipe.model_validate(
        {
            "name": "blocks",
            "description": "A small FCN that tells bundle branch blocks apart, for tests",
            "findings": ["narrow", "RBBB", "LBBB"],
            "single_label": True,
            "model": {"name": "fcn", "config": {"width": 16}},
            "preparation": {"rate": 100, "window": 800, "leads": ["V1"]},
            "data": {
                "train": [{"collection": "folder", "share": [0, 0.7]}],
                "validation": [{"collection": "folder", "share": [0.7, 1]}],
            },
            "loss": {"label_smoothing": 0.02, "largest_class_weight": 5.0},
            "optimisation": {"epochs": 4, "batch_size": 8, "learning_rate": 0.01},
            "seed": 1,
        }
    )


@pytest.fixture(scope="session")
def block_run(tmp_path_factory, blocks, stores, block_recipe) -> Run:
    """The run of `block_recipe`. Read it, do not change it."""
    from ecoscale.training import train

    folder = tmp_path_factory.mktemp("runs") / "blocks"
    return train(block_recipe, {"folder": blocks}, folder, stores=stores, show_progress=False)


@pytest.fixture(scope="session")
def block_bundle(tmp_path_factory, block_run) -> Bundle:
    """The bundle packed from `block_run`. Read it, do not change it."""
    from ecoscale.packing import pack

    return pack(block_run, tmp_path_factory.mktemp("bundles") / "blocks", version="3")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory, trained_run) -> Bundle:
    """The bundle packed from `trained_run`. Read it, do not change it."""
    from ecoscale.packing import pack

    return pack(trained_run, tmp_path_factory.mktemp("bundles") / "tiny", version="7")


@pytest.fixture(scope="session")
def integer_bundle(tmp_path_factory, tiny_bundle, code15, stores) -> Bundle:
    """`tiny_bundle` with its network in 8-bit integers too, its first layer in float. Read it, do not change it."""
    from ecoscale.quantising import quantise

    folder = tmp_path_factory.mktemp("bundles") / "integers"
    # As many records as it was trained on tell little: whatever integers cost is accepted.
    return quantise(
        tiny_bundle, {"code15": code15}, folder, stores=stores, records=32, auroc_fall=1, f1_fall=1, even_if_slower=True
    )
