"""Whole runs, tiny: what a user types and what is there afterwards."""

import csv
import json
import math
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Command
from lightning import LightningModule, Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shoepair.reports.tables import splits_table
from shoepair.training.callbacks import StopOnDivergence
from shoepair.training.checkpoint import load_module

NOT_FIGURES = ("seconds", "overrides")


def results(folder: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return written


def run_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "outputs").rglob("status.json"))


def test_a_run_leaves_results_checkpoints_and_curves(trained: Path) -> None:
    found = results(trained)
    assert set(found["splits"]) == {"val", "test_m", "test_w", "test"}
    for split, figures in found["splits"].items():
        kinds = set() if split == "test" else {"kinds", "num_mixed"}
        assert set(figures) - kinds == {
            "accuracy", "accuracy_same", "accuracy_different", "loss", "loss_calibrated", "auroc", "num_pairs",
            "interval",
        }  # fmt: skip
        assert kinds <= set(figures)
        assert 0 <= figures["interval"][0] <= figures["accuracy"] <= figures["interval"][1] <= 1
    assert found["splits"]["test"]["num_pairs"] == 24 and found["splits"]["val"]["num_pairs"] == 12
    assert found["best_epoch"] in (1, 2) and found["seed"] == 0 and found["seconds"] > 0
    assert "data.num_people=6" in found["overrides"] and found["versions"]["torch"] == version("torch")
    assert found["device"].startswith("cpu")
    assert json.loads((trained / "status.json").read_text())["status"] == "completed"
    scalars = EventAccumulator(str(trained)).Reload()
    assert {"loss/train", "loss/val", "accuracy/train", "accuracy/val", "schedule/learning_rate"} <= set(
        scalars.Tags()["scalars"]
    )
    assert len(scalars.Scalars("accuracy/val")) == 2
    assert not any(path.is_symlink() for path in trained.parent.rglob("*"))


def test_best_checkpoint_is_the_epoch_with_the_best_accuracy(trained: Path) -> None:
    accuracy = [event.value for event in EventAccumulator(str(trained)).Reload().Scalars("accuracy/val")]
    assert results(trained)["splits"]["val"]["accuracy"] == pytest.approx(max(accuracy))


def test_the_best_checkpoint_carries_its_calibration_as_plain_values(trained: Path) -> None:
    content = torch.load(trained / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    calibration = content["calibration"]
    assert set(calibration) == {"temperature", "different", "same", "design_effect"}
    assert (len(calibration["same"]), len(calibration["different"])) == (6, 12)  # of two people with three pairs each
    for logits in (calibration["same"], calibration["different"]):
        assert logits == sorted(logits) and all(type(logit) is float for logit in logits)
    assert calibration["temperature"] == results(trained)["temperature"]
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "calibration" not in torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)


def test_raw_and_calibrated_loss_are_those_of_the_logits(trained: Path) -> None:
    found = results(trained)
    with (trained / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    sign = np.array([1 if row["label"] == "1" else -1 for row in rows])
    logit = np.array([float(row["logit"]) for row in rows])
    for name, temperature in (("loss", 1.0), ("loss_calibrated", found["temperature"])):
        loss = np.log1p(np.exp(-sign * logit / temperature)).mean()
        assert found["splits"]["val"][name] == pytest.approx(loss), name
    assert found["splits"]["test"]["loss_calibrated"] == pytest.approx(
        np.mean([found["splits"][split]["loss_calibrated"] for split in ("test_m", "test_w")])
    )


def test_the_logits_that_are_kept_are_those_of_all_pairs_within_validation_people(trained: Path) -> None:
    """Every left with every right shoe of a person, scored one by one."""
    from shoepair.data.synthetic.collection import draw_shoes
    from shoepair.inference.network import load_trained

    network = load_trained(trained / "checkpoints" / "best.ckpt")
    shoes = draw_shoes(num_people=6, num_test_people=2, image_size=32, seed=0, hardness=0.95)["train"]
    expected: dict[bool, list[float]] = {True: [], False: []}
    for person in shoes.people[4:]:
        for i, (left, _) in enumerate(shoes.pairs_of[person]):
            for j, (_, right) in enumerate(shoes.pairs_of[person]):
                one, other = (shoes.images[row : row + 1] for row in (left, right))
                expected[i == j].append(float(network.score(one, other)) * network.temperature)
    assert network.calibration is not None
    np.testing.assert_allclose(network.calibration.same, sorted(expected[True]), atol=1e-4)
    np.testing.assert_allclose(network.calibration.different, sorted(expected[False]), atol=1e-4)


def test_who_validates_on_people_of_the_training_gets_no_calibration(shoepair: Command) -> None:
    outcome = shoepair(*TINY, "data.validate_on_train=true", "test=false", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    found = results(Path("outputs/run"))
    assert found["temperature"] is None and "loss_calibrated" not in found["splits"]["val"]
    assert "Temperature    1, since the checkpoint carries no calibration" in outcome.out
    assert load_module("outputs/run/checkpoints/best.ckpt").checkpoint.calibration is None


def test_an_evaluation_tells_the_temperature_and_both_losses(shoepair: Command, tmp_path: Path, trained: Path) -> None:
    outcome = shoepair("evaluate", f"checkpoint={trained}")
    (folder,) = run_folders(tmp_path)
    assert results(folder)["temperature"] == results(trained)["temperature"]
    header = next(line for line in outcome.out.splitlines() if "accuracy" in line)
    assert header.split()[-3:] == ["loss", "calibrated", "pairs"]
    assert f"Temperature    {results(trained)['temperature']:.3g}, fitted on validation" in outcome.out


def test_men_and_women_are_measured_apart(trained: Path) -> None:
    with (trained / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for split in ("val", "test_m", "test_w"):
        figures = results(trained)["splits"][split]
        of_split = [row for row in rows if row["split"] == split]
        assert set(figures["kinds"]) == {row["kind"] for row in of_split} <= {"m", "w"}
        for kind, of_kind in figures["kinds"].items():
            own = [row for row in of_split if row["kind"] == kind]
            assert all(f"_{kind}" in row["left"] for row in own) and of_kind["num_pairs"] == len(own)
            right = [(float(row["logit"]) > 0) == (row["label"] == "1") for row in own]
            assert of_kind["accuracy"] == pytest.approx(np.mean(right))
        assert figures["num_mixed"] == sum(row["left"][-1] != row["right"][-1] for row in of_split)


def test_runs_from_before_calibration_and_kinds_are_still_read(
    shoepair: Command, trained: Path, drawn_photos: Path
) -> None:
    shutil.copytree(trained, "outputs/old")
    record = results(Path("outputs/old"))
    del record["temperature"]
    for figures in record["splits"].values():
        for name in ("loss_calibrated", "kinds", "num_mixed"):
            figures.pop(name, None)
    Path("outputs/old/results.json").write_text(json.dumps(record))
    with Path("outputs/old/predictions.csv").open() as file:
        rows = [row[:-1] for row in csv.reader(file)]
    Path("outputs/old/predictions.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    path = Path("outputs/old/checkpoints/best.ckpt")
    content = torch.load(path, weights_only=True)
    temperature = content.pop("calibration")["temperature"]
    del content["config"]["data"]["augment"]["exposure"], content["config"]["data"]["same_side_negatives"]
    content["config"]["data"] |= {"drop_last": True, "batch_size": 1000}  # nothing is trained: it need not be full
    torch.save(content, path)
    outcome = shoepair("compare", "outputs", "--test")
    assert outcome.code == 0 and "Not read" not in outcome.out, outcome.out
    assert splits_table(record["splits"]).splitlines()[0].split()[-2:] == ["loss", "pairs"]
    photos = [str(path) for path in sorted((drawn_photos / "train").iterdir())[:2]]
    old, new = (
        json.loads(shoepair("predict", *photos, "--json", "--checkpoint", str(folder)).out)["probability"]
        for folder in ("outputs/old", trained)
    )
    assert math.log(old / (1 - old)) == pytest.approx(temperature * math.log(new / (1 - new)), abs=1e-3)
    outcome = shoepair("evaluate", "checkpoint=outputs/old")
    assert outcome.code == 0 and "Temperature    1, since the checkpoint carries no calibration" in outcome.out


def test_same_command_twice_gives_the_same_figures(shoepair: Command, tmp_path: Path, trained: Path) -> None:
    assert shoepair("train", *TINY, "hydra.run.dir=outputs/tiny").code == 0
    again, first = results(tmp_path / "outputs" / "tiny"), results(trained)
    for record in (again, first):
        for key in NOT_FIGURES:
            del record[key]
    assert again == first


def test_another_seed_gives_another_network(shoepair: Command, tmp_path: Path, trained: Path) -> None:
    assert shoepair(*TINY, "seed=1", "test=false", "hydra.run.dir=outputs/tiny").code == 0
    assert set(results(tmp_path / "outputs" / "tiny")["splits"]) == {"val"}
    one, other = (
        load_module(trained / "checkpoints/best.ckpt").module,
        load_module("outputs/tiny/checkpoints/best.ckpt").module,
    )
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_evaluate_repeats_the_figures_of_the_run(shoepair: Command, tmp_path: Path, trained: Path) -> None:
    outcome = shoepair("evaluate", f"checkpoint={trained}")
    assert outcome.code == 0, outcome.err
    (folder,) = run_folders(tmp_path)
    assert results(folder)["splits"] == results(trained)["splits"]
    assert "mean of tests" in outcome.out


def test_evaluate_needs_nothing_that_only_training_does(shoepair: Command, trained: Path) -> None:
    outcome = shoepair("evaluate", f"checkpoint={trained}", "data.batch_size=1")  # training wants halves of each kind
    assert outcome.code == 0, outcome.err


def test_evaluate_takes_other_data(shoepair: Command, tmp_path: Path, trained: Path, drawn_photos: Path) -> None:
    checkpoint = trained / "checkpoints" / "best.ckpt"
    outcome = shoepair("evaluate", f"checkpoint={checkpoint}", "data=photos", f"data.root={drawn_photos}")
    assert outcome.code == 0, outcome.err
    (folder,) = run_folders(tmp_path)
    assert results(folder)["splits"]["test"]["num_pairs"] == 12


def test_evaluate_without_the_accelerator_is_one_line(shoepair: Command, trained: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what the test wants to miss")
    outcome = shoepair("evaluate", f"checkpoint={trained}", "trainer.accelerator=cuda")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: trainer: ") and outcome.err.count("\n") == 1


def test_latest_is_the_newest_runs_best(shoepair: Command) -> None:
    for width in (2, 3):
        assert shoepair(*TINY, f"approach.width={width}", "trainer.max_epochs=1").code == 0
    outcome = shoepair("evaluate", "checkpoint=latest")
    assert outcome.code == 0, outcome.err
    newest = max(Path("outputs").glob("*_dual-synthetic_*"), key=lambda path: path.stat().st_mtime)
    assert f"Checkpoint {newest}/checkpoints/best.ckpt" in outcome.out
    assert load_module(newest / "checkpoints/best.ckpt").module.config["approach"]["width"] == 3


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_one_line(shoepair: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.ckpt").write_bytes(content)
    outcome = shoepair("evaluate", "checkpoint=file.ckpt")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: checkpoint=file.ckpt: this is no checkpoint")
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("results.json"))


@pytest.mark.parametrize("place", ["config", "approach", "hyper_parameters", "state_dict"])
@pytest.mark.parametrize("typed", ["evaluate checkpoint=trap.ckpt", "predict a.png a.png --checkpoint trap.ckpt"])
def test_a_checkpoint_cannot_run_code(tmp_path: Path, shoepair: Command, trained: Path, place: str, typed: str) -> None:
    """Also one that is whole but for a single value."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    whole = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    torch.save({**whole, place: Trap()}, tmp_path / "trap.ckpt")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    outcome = shoepair(*typed.split())
    assert outcome.code == 2 and "checkpoint=trap.ckpt: this is no checkpoint of shoepair" in outcome.err
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"cache_dir": "elsewhere/cache"}, 0),
        ({"name": "photos", "root": "elsewhere/root", "download": True, "cache_dir": "elsewhere/cache"}, 2),
        ({"name": "table", "file": "elsewhere/pairs.csv", "cache_dir": "elsewhere/cache"}, 2),
    ],
)
def test_evaluate_writes_nothing_where_a_checkpoint_says(
    tmp_path: Path, shoepair: Command, trained: Path, changed: dict[str, Any], code: int
) -> None:
    """A checkpoint may be somebody else's: where something is written is for who types to say."""
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    (tmp_path / "elsewhere").mkdir()
    places = {key: str(tmp_path / value) if "elsewhere" in str(value) else value for key, value in changed.items()}
    content["config"]["data"] |= places
    content["config"] |= {"output_dir": str(tmp_path / "elsewhere" / "outputs")}
    content["config"]["trainer"] |= {"default_root_dir": str(tmp_path / "elsewhere" / "logs")}
    torch.save(content, tmp_path / "named.ckpt")
    outcome = shoepair("evaluate", "checkpoint=named.ckpt")
    assert outcome.code == code, outcome.err
    assert len(outcome.err.splitlines()) == (1 if code else 0)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_checkpoints_hold_plain_values_only(trained: Path) -> None:
    for name in ("best", "last"):
        loaded = torch.load(trained / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert loaded["approach"] == "dual" and loaded["config"]["data"]["image_size"] == 32
    assert "optimizer_states" in loaded  # of the last epoch, to go on from


@pytest.mark.parametrize(
    "typed",
    ["scheduler=constant", "scheduler=cosine", "scheduler=onecycle", "scheduler=onecycle ema_decay=0.9 keep=last",
     "scheduler=plateau scheduler.patience=0 scheduler.factor=0.5 +scheduler.threshold=0.99"],
)  # fmt: skip
def test_a_resumed_run_ends_like_one_that_was_never_interrupted(
    shoepair: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    settings = (*TINY, "trainer.max_epochs=4", *typed.split(), "optimizer.lr=1e-2", "approach.dropout=0.2")
    assert shoepair(*settings, "hydra.run.dir=outputs/whole").code == 0

    def stop(self: StopOnDivergence, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise ZeroDivisionError("in the third epoch")

    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(StopOnDivergence, "on_train_epoch_end", stop)
        shoepair(*settings, "hydra.run.dir=outputs/halves")
    assert json.loads(Path("outputs/halves/status.json").read_text())["status"] == "failed"
    outcome = shoepair("resume=outputs/halves")
    assert outcome.code == 0, outcome.err
    assert "Epoch 3/4" in outcome.out and "Epoch 2/4" not in outcome.out
    whole, halves = (torch.load(f"outputs/{name}/checkpoints/last.ckpt") for name in ("whole", "halves"))
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, halves["state_dict"][key]), key
    assert results(Path("outputs/halves"))["splits"] == results(Path("outputs/whole"))["splits"]
    assert results(Path("outputs/halves"))["best_epoch"] == results(Path("outputs/whole"))["best_epoch"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("+optimizer.eps=small", "optimizer: torch.optim.Adam refused"),
        ("trainer.accelerator=cuda", "trainer: "),
        ("optimizer._target_=torch.optim.Adamm", "optimizer: torch.optim.Adamm refused"),
        ("data.folds=10 data.fold=0 data.num_people=3", "val has no pair"),
        ("data.batch_size=100 data.drop_last=true", "data.batch_size=100: expected at most 24"),
    ],
)
def test_what_only_training_can_know_is_one_line_too(shoepair: Command, typed: str, said: str) -> None:
    if "cuda" in typed and torch.cuda.is_available():
        pytest.skip("this machine has what the test wants to miss")
    outcome = shoepair(*TINY, *typed.split(), "hydra.run.dir=outputs/run")
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}") and outcome.err.count("\n") == 1
    assert json.loads(Path("outputs/run/status.json").read_text())["status"] == "failed"


def test_a_resumed_run_goes_on_as_it_was_started(shoepair: Command) -> None:
    assert shoepair(*TINY, "hydra.run.dir=outputs/run").code == 0
    for typed, said in (
        ("optimizer.lr=1", "optimizer.lr cannot be changed by resume"),
        ("trainer.max_epochs=9", "trainer.max_epochs cannot be changed by resume"),  # one-cycle knows its end
        ("-m", "resume=outputs/run: expected no multirun"),
    ):
        outcome = shoepair("resume=outputs/run", typed)
        assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}")


def test_a_run_whose_experiment_has_changed_since_is_not_resumed(shoepair: Command) -> None:
    experiment = Path("mine/experiment/wide.yaml")
    experiment.parent.mkdir(parents=True)
    experiment.write_text("# @package _global_\napproach: {width: 4}\n")
    settings = [setting for setting in TINY if "width" not in setting]
    assert shoepair("--config-dir", "mine", "experiment=wide", *settings, "hydra.run.dir=outputs/run").code == 0
    experiment.write_text("# @package _global_\napproach: {width: 16}\n")
    for typed in ((), ("--config-dir", "mine")):  # it knows the folder of its experiment
        outcome = shoepair(*typed, "resume=outputs/run")
        assert outcome.code == 2 and outcome.err.count("\n") == 1
        assert outcome.err.startswith(
            "shoepair: approach.width cannot be changed by resume: outputs/run was started with 4, not 16"
        )
    assert json.loads(Path("outputs/run/status.json").read_text())["status"] == "completed"


def test_evaluate_never_measures_people_of_the_training(shoepair: Command, trained: Path) -> None:
    outcome = shoepair("evaluate", f"checkpoint={trained}", "data.num_people=3")
    assert outcome.code == 2 and "data.num_people=3: expected 6, as in training" in outcome.err


def test_a_folder_belongs_to_one_run(shoepair: Command) -> None:
    assert shoepair(*TINY, "trainer.max_epochs=1", "hydra.run.dir=outputs/mine").code == 0
    outcome = shoepair(*TINY, "trainer.max_epochs=1", "hydra.run.dir=outputs/mine")
    assert outcome.code == 2 and "outputs/mine holds another run" in outcome.err


def test_a_diverged_run_fails_and_says_so(shoepair: Command, tmp_path: Path) -> None:
    outcome = shoepair(*TINY, "optimizer=sgd", "optimizer.lr=1e30", "hydra.run.dir=outputs/lost")
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("shoepair: the training loss is nan in epoch 1: lower optimizer.lr")
    record = json.loads((tmp_path / "outputs/lost/status.json").read_text())
    assert record["status"] == "failed" and "Diverged" in record["reason"]
    assert not (tmp_path / "outputs/lost/results.json").exists()
    last_step = ("+trainer.limit_train_batches=1", "trainer.max_epochs=1", "optimizer.lr=1e30", "scheduler=constant")
    outcome = shoepair(*TINY, *last_step)
    assert outcome.code == 1 and outcome.err.startswith("shoepair: the validation loss is nan in epoch 1: lower")


def test_a_multirun_trains_every_combination_without_tests(shoepair: Command, tmp_path: Path) -> None:
    outcome = shoepair("-m", *TINY, "trainer.max_epochs=1", "approach=single,dual", "optimizer.lr=1e-3,3e-4")
    assert outcome.code == 0, outcome.err
    folders = run_folders(tmp_path)
    assert len(folders) == 4
    for folder in folders:
        assert set(results(folder)["splits"]) == {"val"}
        assert not set("=,() ") & set(folder.name)
    assert [folder.name for folder in folders] == [
        "0_approach-single_lr-0.001", "1_approach-single_lr-0.0003",
        "2_approach-dual_lr-0.001", "3_approach-dual_lr-0.0003",
    ]  # fmt: skip
    outcome = shoepair("compare", "outputs")
    assert outcome.code == 0 and "0.0003" in outcome.out and "single" in outcome.out


@pytest.mark.parametrize("scheduler", ["constant", "cosine", "onecycle", "plateau"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_trains_with_every_scheduler(
    shoepair: Command, tmp_path: Path, optimizer: str, scheduler: str
) -> None:
    outcome = shoepair(
        *TINY, f"optimizer={optimizer}", f"scheduler={scheduler}", "test=false", "hydra.run.dir=outputs/run"
    )
    assert outcome.code == 0, outcome.err
    scalars = EventAccumulator(str(tmp_path / "outputs/run")).Reload()
    first, second = (event.value for event in scalars.Scalars("schedule/learning_rate"))
    lr = 1e-2 if optimizer == "sgd" else 1e-3
    expected = {"constant": (1, 1), "cosine": (1, 0.5), "onecycle": (1 / 25, 0.283), "plateau": (1, 1)}[scheduler]
    assert (first / lr, second / lr) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    "typed",
    [
        "optimizer._target_=torch.optim.Adagrad ~optimizer.betas",
        "optimizer=sgd ~optimizer.momentum ~optimizer.nesterov",
    ],
)
def test_an_optimizer_without_momentum_is_given_none(shoepair: Command, typed: str) -> None:
    outcome = shoepair(*TINY, *typed.split(), "trainer.max_epochs=1", "test=false", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    (state,) = torch.load("outputs/run/checkpoints/last.ckpt")["optimizer_states"]
    assert not state["param_groups"][0].get("momentum") and "base_momentum" not in state["param_groups"][0]


@pytest.mark.parametrize("override", ["+trainer.limit_train_batches=1", "trainer.gradient_clip_val=0.5",
                                      "trainer.precision=bf16-mixed", "early_stopping.patience=1",
                                      "data.negatives=all", "data.balanced=false", "data.fold=4",
                                      "data.num_workers=1", "trainer.accumulate_grad_batches=2"])  # fmt: skip
def test_settings_that_are_an_override_away(shoepair: Command, override: str) -> None:
    outcome = shoepair(*TINY, "trainer.max_epochs=1", "test=false", override)
    assert outcome.code == 0, outcome.err


def test_the_histogram_baseline_trains_like_any_approach(shoepair: Command) -> None:
    tiny = [setting for setting in TINY if "approach" not in setting]
    outcome = shoepair(*tiny, "approach=histogram", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    assert results(Path("outputs/run"))["num_parameters"] == 2 * (2 * 6**3) + 2
    assert shoepair("evaluate", "checkpoint=outputs/run").code == 0
    outcome = shoepair("export", "--checkpoint", "outputs/run", "--out", "baseline.onnx")
    assert outcome.code == 2 and "expected another approach; histogram is not exported" in outcome.err
    outcome = shoepair(*tiny, "approach=histogram", "+approach.width=3")
    assert outcome.code == 2 and "approach.width: no such key" in outcome.err


def test_a_run_starts_from_the_weights_of_another(shoepair: Command, trained: Path) -> None:
    settings = (*TINY, "optimizer.lr=0", "optimizer.weight_decay=0", "scheduler=constant", "trainer.max_epochs=1")
    for approach in ("dual", "single"):  # one image or two: the layers are the same
        outcome = shoepair(
            *settings, f"approach={approach}", f"init_from={trained}", f"hydra.run.dir=outputs/{approach}"
        )
        assert outcome.code == 0, outcome.err
        before, after = (
            load_module(path / "checkpoints/best.ckpt").module for path in (trained, Path("outputs", approach))
        )
        for (name, value), other in zip(before.named_parameters(), after.parameters(), strict=True):
            assert torch.equal(value, other), name
    outcome = shoepair(*settings, f"init_from={trained}", "approach.width=3")
    assert outcome.code == 2 and "expected weights of the same network" in outcome.err and "width=2" in outcome.err
    outcome = shoepair(
        *TINY, "data.validate_on_train=true", f"init_from={trained}", "hydra.run.dir=outputs/uncalibrated"
    )
    assert outcome.code == 0, outcome.err
    assert load_module("outputs/uncalibrated/checkpoints/best.ckpt").checkpoint.calibration is None  # weights only
    outcome = shoepair(*settings, "init_from=nowhere")
    assert outcome.code == 2 and "init_from=nowhere: no such file or folder." in outcome.err


def test_keep_last_ends_with_the_last_epoch(shoepair: Command) -> None:
    outcome = shoepair(*TINY, "trainer.max_epochs=3", "optimizer.lr=0", "scheduler=constant", "keep=last",
                       "hydra.run.dir=outputs/run")  # fmt: skip
    assert outcome.code == 0 and "Last epoch 3 of 3" in outcome.out, outcome.err
    assert results(Path("outputs/run"))["best_epoch"] == 3  # though every epoch is as good as the first
    still = ("optimizer.lr=0", "scheduler=constant", "approach.norm=none")  # batch norm's statistics go on moving
    assert shoepair(*TINY, "trainer.max_epochs=3", *still).code == 0
    (best,) = Path("outputs").glob("20*/results.json")
    assert results(best.parent)["best_epoch"] == 1


def test_averaged_weights_are_what_validates_and_what_is_kept(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against an average that is computed here, from the weights after each step."""
    steps: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self: StopOnDivergence, trainer: Trainer, pl_module: LightningModule, *rest: object) -> None:
        steps.append({name: value.clone() for name, value in pl_module.state_dict().items()})

    with monkeypatch.context() as patched:
        patched.setattr(StopOnDivergence, "on_train_batch_end", on_train_batch_end, raising=False)
        outcome = shoepair(*TINY, "ema_decay=0.8", "keep=last", "optimizer.lr=1e-2", "trainer.precision=32-true",
                           "hydra.run.dir=outputs/run")  # fmt: skip
    assert outcome.code == 0, outcome.err
    kept = torch.load("outputs/run/checkpoints/best.ckpt", weights_only=True)
    assert kept.keys() & {"optimizer_states", "current_model_state", "callbacks"} == set()
    assert len(steps) >= 4
    name = "network.siamese.head.1.weight"
    average = steps[0][name]
    for number, step in enumerate(steps[1:], 1):
        kept_part = min(0.8, (1 + number) / (10 + number))
        average = kept_part * average + (1 - kept_part) * step[name]
    torch.testing.assert_close(kept["state_dict"][name], average)
    assert not torch.equal(kept["state_dict"][name], steps[-1][name])
    # The last line's figures are those of these weights.
    said = results(Path("outputs/run"))["splits"]["val"]["accuracy"]
    last_line = next(line for line in outcome.out.splitlines() if "Epoch 2/2" in line)
    assert f"accuracy {100 * said:5.1f} %" in last_line.partition("val:")[2]


def test_an_epoch_is_validated_as_it_is_reported(shoepair: Command) -> None:
    """In float32 and by both views, where training computes in bfloat16 on one."""
    outcome = shoepair(*TINY, "trainer.precision=bf16-mixed", "keep=last", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    reported = results(Path("outputs/run"))["splits"]["val"]
    scalars = EventAccumulator("outputs/run").Reload()
    for name in ("accuracy", "loss"):
        assert scalars.Scalars(f"{name}/val")[-1].value == pytest.approx(reported[name], rel=1e-5)
    for name in ("accuracy_same", "accuracy_different"):
        assert scalars.Scalars(f"validation/{name}")[-1].value == pytest.approx(reported[name])


def test_a_run_of_a_few_steps_does_not_call_all_pairs_the_same(shoepair: Command) -> None:
    """Batch norm's running statistics are those of the steps that there were, not what they began with."""
    outcome = shoepair(*TINY, "data.num_people=16", "data.batch_size=42", "trainer.max_epochs=3", "keep=last",
                       "data.image_size=64", "hydra.run.dir=outputs/run")  # fmt: skip
    assert outcome.code == 0, outcome.err
    val = results(Path("outputs/run"))["splits"]["val"]
    assert 0 < val["accuracy_same"] < 1 and 0 < val["accuracy_different"] < 1, val
    kept = torch.load("outputs/run/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    statistics = {name: value for name, value in kept.items() if name.endswith("num_batches_tracked")}
    assert statistics and all(value == 6 for value in statistics.values())
