"""Every mistake in a configuration is one line that names the key, the value and what is allowed."""

import inspect
from pathlib import Path

import pytest
from conftest import Command
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from shoepair.config.schema import RULES, check_train_config, check_values, parameters_of
from shoepair.models.networks import DualImageCNN, SingleImageCNN, StackedCNN

CONF = Path(__file__).parents[2] / "conf"

MISTAKES = [
    ("optimizer.lrr=1", "optimizer.lrr: no such key; did you mean optimizer.lr?"),
    ("lr=1", "lr: no such key; did you mean optimizer.lr?"),
    ("+lrr=1", "lrr: no such key; did you mean optimizer.lr?"),
    ("+optimizer.lrr=1", "optimizer.lrr: no such key; did you mean optimizer.lr?"),
    ("+trainer.max_epoch=1", "trainer.max_epoch: no such key; did you mean trainer.max_epochs?"),
    ("+data.augment.flip=1", "data.augment.flip: no such key"),
    ("optimizer=adamm", "optimizer=adamm: no such option; choose from adam, adamw, sgd."),
    ("experiment=mine", "experiment=mine: no such option; choose from best_dual, best_pretrained,"),
    ("optimizer=null", "Config group override must be a string or a list"),
    ("optimizer.lr=fast", "optimizer.lr=fast: expected a number of at least 0."),
    ("optimizer.lr=-1", "optimizer.lr=-1: expected a number of at least 0."),
    ("optimizer.lr=nan", "optimizer.lr=nan: expected a number of at least 0."),
    ("optimizer.lr=true", "optimizer.lr=true: expected a number of at least 0."),
    ("approach.kernel_size=4", "approach.kernel_size=4: expected an odd whole number (same padding needs one)."),
    ("data.batch_size=7", "data.batch_size=7: expected an even number, since data.balanced=true"),
    ("data.batch_size=0", "data.batch_size=0: expected a whole number, at least 1."),
    ("data.image_size=100", "data.image_size=100: expected a multiple of 16, since approach.stages=4"),
    ("data.train_fraction=1.5", "data.train_fraction=1.5: expected a number from 0 (not included) to 1 (not included)"),
    ("data.augment.hflip=2", "data.augment.hflip=2: expected a number from 0 to 1."),
    ("data.negatives=hard", "data.negatives=hard: expected one of cyclic, all, fresh."),
    ("data.same_side_negatives=2", "data.same_side_negatives=2: expected a number from 0 to 1."),
    ("data.same_side_negatives=0.3 data.negatives=all", "data.same_side_negatives=0.3: expected 0, since data.negatives=all"),
    ("data.fold=5", "data.fold=5: expected a whole number from 0 to 4, since data.folds=5."),
    ("trainer.max_epochs=-1", "trainer.max_epochs=-1: expected a whole number, at least 1."),
    ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: expected a whole number, at least 1."),
    ("seed=-1", "seed=-1: expected a whole number from 0 to"),
    ("data=photos", "data.root has no value: give data.root=FOLDER, the folder that holds train/."),
    ("data=photos data.root=nowhere", "data.root=nowhere: no such folder; set data.root to"),
    ("data=photos data.root=.", "data.root=.: there is no folder train/ in it"),
    ("data=table", "data.file has no value: give data.file=FILE.csv, with the columns file, person, pair, side, kind."),
    ("data=table data.file=nowhere.csv", "data.file=nowhere.csv: no such file; set data.file to"),
    ("data=table data.file=.", "data.file=.: no such file"),
    ("resume=nowhere", "resume=nowhere: expected the folder of an interrupted run"),
    ("trainer.precision=8", "trainer.precision=8: expected one of auto, 32-true, bf16-mixed"),
    ("trainer.accelerator=abacus", "trainer.accelerator=abacus: expected one of auto, cpu"),
    ("data.num_people=null", "data.num_people=null: expected a whole number, since data=synthetic"),
    ("~data.hardness", "data.hardness=null: expected a number from 0 to 1, since data=synthetic"),
    ("data.hardness=1.5", "data.hardness=1.5: expected a number from 0 to 1."),
    ("+trainer.sync_batchnorm=true", "trainer.sync_batchnorm=true: expected false"),
    ("data.augment=3", "data.augment=3: expected an option or settings"),
    ("~approach", "approach=(removed): expected an option or settings"),
    ("~data.batch_size", "data.batch_size was removed: give it a value"),
    ("optimizer.lr=${nothing}", "Interpolation key 'nothing' not found"),
    ("optimizer.lr==3", "Error parsing override 'optimizer.lr==3'"),
    ("trian", "trian: no such command; the commands are train, evaluate, compare, predict, match, export, draw"),
    ("-m optimizer.lr=1e-3,fast", "optimizer.lr=fast: expected a number of at least 0. (in the job optimizer.lr=fast"),
    ("-m seed=0,1 trainer=ddp", "trainer.devices=2: expected 1 in a multirun"),
    ("-m approach=single,dul", "approach=dul: no such option; choose from dual, histogram, pretrained, single."),
    ("evaluate", "checkpoint has no value: give checkpoint=latest"),
    ("evaluate checkpoint=nowhere", "checkpoint=nowhere: no such file or folder."),
    ("evaluate checkpoint=latest", "checkpoint=latest: there is no trained run in outputs/"),
    ("evaluate checkpoint=latest data.batch_size=many", "data.batch_size=many: expected a whole number, at least 1."),
    ("compare nowhere", "nowhere: no such folder."),
    ("compare .", ".: there is no run in it"),
    ("predict", "expected either LEFT and RIGHT, or --stacked PHOTO, or --pairs FILE.csv."),
    ("predict one.jpg", "expected two photos, LEFT and RIGHT; received 1."),
    ("predict one.jpg two.jpg", "one.jpg: no such file."),
    ("predict . .", "checkpoint=latest: there is no trained run in outputs/"),
    ("match nowhere", "nowhere: no such folder."),
    ("match . --threshold 1", "--threshold 1.0: expected a number between 0 and 1."),
    ("export", "checkpoint=latest: there is no trained run in outputs/"),
    ("predict --pairs pairs.csv", "pairs.csv: No such file or directory; expected a CSV file."),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "said"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_two(shoepair: Command, tmp_path: Path, typed: str, said: str) -> None:
    outcome = shoepair(*typed.split())
    assert outcome.err.startswith(f"shoepair: {said}") and outcome.err.count("\n") == 1
    assert outcome.code == 2 and outcome.out == ""
    assert not (tmp_path / "outputs").exists()  # nothing was begun


def test_hydra_full_error_shows_the_traceback(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match=r"optimizer\.lrr"):
        shoepair("optimizer.lrr=1")


@pytest.mark.parametrize(
    "added", ["+trainer.limit_train_batches=2", "+optimizer.amsgrad=true", "+trainer.profiler=simple"]
)
def test_a_key_that_its_target_knows_may_be_added(added: str) -> None:
    with initialize_config_module("shoepair.conf"):
        check_train_config(compose("train", [added], return_hydra_config=False))


def test_parameters_are_read_without_importing() -> None:
    known = parameters_of("lightning.pytorch.trainer.trainer.Trainer")
    assert known is not None and {"max_epochs", "gradient_clip_val", "limit_val_batches"} <= known
    adam = parameters_of("torch.optim.Adam")
    assert adam is not None and "amsgrad" in adam and "lrr" not in adam
    assert parameters_of("somewhere.Else") is None


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "group", ["approach", "optimizer", "scheduler", "trainer", "mode", "augment", "experiment", "sweep"]
)
def test_every_option_composes_and_passes_its_own_check(group: str) -> None:
    with initialize_config_module("shoepair.conf"):
        for option in options(group):
            check_train_config(compose("train", [f"{group}={option}"]))


def test_every_key_of_the_configuration_has_a_rule() -> None:
    with initialize_config_module("shoepair.conf"):
        for group in ("approach", "data", "optimizer", "scheduler", "trainer", "mode", "augment"):
            for option in options(group):
                config = OmegaConf.to_container(compose("train", [f"{group}={option}"]))
                assert isinstance(config, dict)
                unruled = [key for key in leaves(config) if key not in RULES]
                assert not unruled


def test_an_option_of_augment_goes_with_any_experiment_and_what_is_typed_wins() -> None:
    with initialize_config_module("shoepair.conf"):
        for experiment in ("best_dual", "original_single"):
            plain = compose("train", [f"experiment={experiment}"])
            by_hand = compose("train", [f"experiment={experiment}", "augment=handheld", "data.augment.rotation_deg=3"])
            assert by_hand.data.augment.rotation_deg == 3 and by_hand.data.augment.exposure > 0
            assert by_hand.data.augment.hflip == plain.data.augment.hflip
        assert not any(compose("train", ["augment=handheld", "mode=sanity"]).data.augment.values())


def leaves(node: object, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else key)]


@pytest.mark.parametrize(("approach", "network"), [("single", SingleImageCNN), ("dual", DualImageCNN)])
def test_original_experiments_are_the_networks_defaults(approach: str, network: type) -> None:
    with initialize_config_module("shoepair.conf"):
        plain = check_train_config(compose("train", [f"experiment=original_{approach}"]))
    check_values(plain)
    settings = {**plain["approach"], "image_size": plain["data"]["image_size"]}
    own = {name: p.default for name, p in inspect.signature(network).parameters.items() if name != "settings"}
    shared = {name: p.default for name, p in inspect.signature(StackedCNN).parameters.items()}
    shared = {name: default for name, default in shared.items() if default is not inspect.Parameter.empty}
    defaults = {**own, **shared}
    assert settings == {"name": approach, **defaults}
    assert plain["data"]["batch_size"] == 42 and plain["data"]["negatives"] == "cyclic"
    assert not any(plain["data"]["augment"].values())
    assert plain["optimizer"] == {
        "_target_": "torch.optim.Adam",
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "betas": [0.9, 0.999],
    }
    assert plain["trainer"]["max_epochs"] == 30 and plain["trainer"]["precision"] == "32-true"
