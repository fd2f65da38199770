"""Every mistake in a configuration is one line that names the key, the value and what is allowed."""

import inspect
import re
from pathlib import Path

import pytest
from conftest import Command
from hydra import compose, initialize_config_module
from lightning import Trainer
from omegaconf import OmegaConf
from settings import network_settings, train_settings

from shoepair.config.compat import RENAMED_KEYS
from shoepair.config.schema import known_keys
from shoepair.config.targets import parameters_of
from shoepair.config.trainer import NOT_HERE, TrainerSettings
from shoepair.errors import UserError

CONF = Path(__file__).parents[2] / "conf"

MISTAKES = [
    ("optimizer.lrr=1", "optimizer.lrr: no such key; did you mean optimizer.lr?"),
    ("lr=1", "lr: no such key; did you mean optimizer.lr?"),
    ("+lrr=1", "lrr: no such key; did you mean optimizer.lr?"),
    ("weight_decay=1", "weight_decay: no such key; did you mean optimizer.weight_decay?"),
    ("sweep.pruner=median", "sweep: there are such keys with sweep=search only."),
    ("sweep=grid hydra.sweeper.n_trials=3", "hydra.sweeper.n_trials: there are such keys with sweep=search only."),
    ("sanity.accuracy=0.5", "sanity: there are such keys with mode=sanity only."),
    ("logger.wandb.project=x", "logger.wandb: there are such keys with logger=wandb only."),
    ("logger=null", "logger=null: expected the name of an option (logger=[] for none): csv, mlflow,"),
    ("--lr 0.1", "--lr: no such option; settings have no dashes. lr: no such key; did you mean optimizer.lr?"),
    ("--data.batch-size=64", "--data.batch-size: no such option; settings have no dashes. Type data.batch_size=64."),
    ("--data=photos", "--data: no such option; settings have no dashes. Type data=photos."),
    ("--hydra.run.dir=x", "--hydra.run.dir: no such option; settings have no dashes. Type hydra.run.dir=x."),
    ("data.root=x", "data.root: there are such keys with data=photos only."),
    ("--explian seed", "--explian: no such option; did you mean --explain?"),
    ("evaluate --data=photos", "--data: no such option; settings have no dashes. Type data=photos."),
    ("evaluate checkpoint=ready data.negatives=all", "data.negatives: evaluate has no such key;"),
    ("evaluate checkpoint=ready lr=3", "lr: no such key; there are checkpoint, data, output_dir, plugins, trainer."),
    ("evaluate checkpoint=ready trainer.strategy=ddp", "trainer.strategy: this key has no value yet; add it by +"),
    ("optimizer.patience=3", "optimizer.patience: no such key; did you mean"),
    ("hydra=default", "hydra=default: Hydra's own settings are keys, hydra.KEY=VALUE."),
    ("evaluate checkpoint=ready trainer.max_epochs=3", "trainer.max_epochs: evaluate has no such key; a checkpoint is"),
    ("evaluate checkpoint=ready +trainer.limit_val_batches=3", "trainer.limit_val_batches: evaluate has no such key;"),
    ("evaluate checkpoint=ready optimizer.lr=1", "optimizer: evaluate has no such key; a checkpoint is measured as it"),
    ("evaluate checkpoint=ready approach=single", "approach=single: evaluate takes data=NAME only, since a checkpoint"),
    ("evaluate checkpoint=ready -m launcher=joblib", "launcher=joblib: evaluate takes data=NAME only"),
    ("evaluate --explain optimizer.lr", "optimizer.lr: evaluate has no such key; a checkpoint is measured as it was"),
    ("--explain trainer.zzz", "trainer.zzz: no such key; trainer has accelerator,"),
    ("+optimizer.lrr=1", "optimizer.lrr: no such key; did you mean optimizer.lr?"),
    ("+trainer.max_epoch=1", "trainer.max_epoch: no such key; did you mean trainer.max_epochs?"),
    ("+data.augment.flip=1", "data.augment.flip: no such key"),
    ("optimizer=adamm", "optimizer=adamm: no such option; choose from adam, adamw, lbfgs, sgd."),
    ("experiment=mine", "experiment=mine: no such option; choose from best_dual, best_pretrained,"),
    ("optimizer=null", "optimizer=null: expected the name of an option (leave it out for none): adam, adamw, lbfgs,"),
    ("optimizer=lbfgs scheduler=constant", "optimizer=lbfgs: expected approach.draws of 1 or more"),
    ("experiment=best_pretrained approach.weights=null approach.dropout=0.2", "approach.dropout=0.2: expected 0,"),
    ("experiment=best_pretrained approach.weights=null trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1: "),
    ("experiment=best_pretrained approach.weights=null trainer.precision=16-mixed", "trainer.precision=16-mixed: "),
    ("approach=dual approach.cutout=112 approach.copies=3", "approach.copies=3: expected 0, or augment=harsh, since"),
    ("approach=dual approach.cutout=112 approach.copies=2 augment=none", "approach.copies=2: expected 0, or "),
    ("callbacks=[1]", "callbacks=[1]: expected names of options: none; a file callbacks/NAME.yaml"),
    ("logger=[csv,[wandb]]", "logger=[csv, [wandb]]: expected names of options: csv, mlflow, tensorboard, wandb;"),
    ("logger=[csv,comet]", "logger=comet: no such option; here, a file logger/NAME.yaml"),
    ("approach=[dual,single]", "approach=[dual, single]: expected the name of an option (-m approach=NAME,NAME tries"),
    ("-m approach=dual,[1]", "approach=[1]: expected the name of an option: dual, histogram, pretrained, single."),
    ("-m approach=range(1,3)", "approach=range(1,3): expected the name of an option: dual, histogram,"),
    ("~logger=1", "logger=1: expected the name of an option: csv, mlflow, tensorboard, wandb;"),
    ("hydra/launcher=[1]", "hydra/launcher=[1]: expected the name of an option, which launcher=NAME chooses: joblib,"),
    ("-m hydra.launcher=0x10", "hydra.launcher=0x10: expected keys of it, hydra.launcher.KEY=VALUE; launcher=NAME"),
    ("-m hydra.sweeper=null", "hydra.sweeper=null: expected keys of it, hydra.sweeper.KEY=VALUE; sweep=NAME chooses"),
    ("--explain seed mode=1", "mode=1: expected the name of an option: fit, sanity."),
    ("callbacks.zzz=1", "callbacks.zzz: no such key; callbacks has none."),
    ("optimizer.lr=fast", "optimizer.lr=fast: expected a number from 0 to 1e+30."),
    ("optimizer.lr=-1", "optimizer.lr=-1: expected a number from 0 to 1e+30."),
    ("optimizer.lr=nan", "optimizer.lr=nan: expected a number from 0 to 1e+30."),
    ("optimizer.lr=true", "optimizer.lr=true: expected a number from 0 to 1e+30."),
    ("approach.kernel_size=4", "approach.kernel_size=4: expected an odd whole number (same padding needs one), at"),
    ("approach.stages=1000000000", "approach.stages=1000000000: expected a whole number from 1 to 8."),
    ("optimizer.betas=[0.9,1]", "optimizer.betas=1: expected two numbers from 0 to 1 (not included)."),
    ("trainer.devices=0", "trainer.devices=0: expected auto, -1, a number of devices, or a list of their numbers."),
    ("data.negatives=fresh", "data.negatives=fresh is now data.negatives=resampled."),
    ("plugins=nowhere.py", "plugins=nowhere.py: expected a list of text."),
    ("plugins=[nowhere.py]", "plugins=nowhere.py: it cannot be imported (FileNotFoundError: "),
    ("sweep=folds,seeds", "sweep=folds,seeds: expected one ready-made sweep; what it varies can be typed beside"),
    ("mode=sanity ~sanity", "sanity was removed: mode=sanity needs sanity.accuracy"),
    ("data.batch_size=7", "data.batch_size=7: expected an even number, since data.balanced=true"),
    ("data.batch_size=0", "data.batch_size=0: expected a whole number from 1 to 100,000."),
    ("data.image_size=100", "data.image_size=100: expected a multiple of 16, since approach.stages=4"),
    ("data.train_fraction=1.5", "data.train_fraction=1.5: expected a number from 0 (not included) to 1 (not included)"),
    ("data.augment.hflip=2", "data.augment.hflip=2: expected a number from 0 to 1."),
    ("data.negatives=hard", "data.negatives=hard: expected one of cyclic, all, resampled."),
    ("data.same_side_negatives=2", "data.same_side_negatives=2: expected a number from 0 to 1."),
    (
        "data.same_side_negatives=0.3 data.negatives=all",
        "data.same_side_negatives=0.3: expected 0, since data.negatives=all",
    ),
    ("data.fold=5", "data.fold=5: expected a whole number from 0 to 4, since data.folds=5."),
    ("trainer.max_epochs=-1", "trainer.max_epochs=-1: expected a whole number from 1 to 1,000,000."),
    ("trainer.max_epochs=5.0", "trainer.max_epochs=5.0: expected a whole number from 1 to 1,000,000."),
    ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: expected a whole number from 1 to 1,000,000."),
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
    ("data.num_people=null", "data.num_people=null: expected a whole number from 2 to 90,000."),
    ("~data.hardness", "data.hardness was removed: give it a value, a number from 0 to 1."),
    ("data.hardness=1.5", "data.hardness=1.5: expected a number from 0 to 1."),
    ("+trainer.sync_batchnorm=true", "trainer.sync_batchnorm=true: expected false"),
    ("data.augment=3", "data.augment=3: expected an option or settings"),
    ("+trainer.limit_train_batches=0", "trainer.limit_train_batches=0: expected a whole number from 1 to 1,000,000"),
    ("trainer.limit_train_batches=2", "trainer.limit_train_batches: this key has no value yet; add it by +trainer"),
    ("+trainer.min_epochs=99", "trainer.min_epochs=99: expected at most trainer.max_epochs=40."),
    ("optimizer=sgd optimizer.momentum=0", "optimizer.momentum=0: expected more than 0 with optimizer.nesterov=true."),
    ("scheduler=cosine scheduler.interval=step", "scheduler.interval=step: expected epoch, since scheduler.T_max=40"),
    (
        "approach=pretrained data.augment.rot180=0.5",
        "data.augment.rot180=0.5: expected 0, since with approach.frozen=true whole photos",
    ),
    (
        "experiment=best_pretrained approach.hidden_units=64",
        "approach.hidden_units=64: expected null, since with approach.cutout=224 the heads have no hidden layer.",
    ),
    ("approach=pretrained approach.quantiles=[0.5,0.25]", "approach.quantiles=[0.5, 0.25]: expected a list of at most"),
    (
        "approach=pretrained approach.hidden_units=null",
        "approach.hidden_units=null: expected a number, since with approach.cutout=null the heads have a hidden layer.",
    ),
    ("scheduler=plateau scheduler.interval=step", "scheduler.interval=step: expected epoch, since ReduceLROnPlateau"),
    ("approach.width=1024 approach.stages=8 data.image_size=256", "approach=dual: these settings make a network of"),
    ("scheduler=constant scheduler.factor=0.5", "scheduler.factor=0.5: expected 1, since ConstantLR lowers the rate"),
    ("scheduler.pct_start=1", "scheduler.pct_start=1: expected a number from 0 to 1 (not included)."),
    ("+trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_algorithm=value: expected a trainer"),
    ("trainer.accelerator=hpu", "trainer.accelerator=hpu: expected one of auto, cpu, gpu, cuda, mps, tpu."),
    ("trainer.devices=1000", "trainer.devices=1000: expected auto, -1, a number of devices"),
    ("trainer.devices=[0,0]", "trainer.devices=[0, 0]: expected auto"),
    ("data.num_workers=1000000000000", "data.num_workers=1000000000000: expected a whole number from 0 to 64."),
    (f"seed={10**400}", "seed=(a number of more than 80 digits): expected a whole number from 0 to 4,294,967,295."),
    (f"optimizer.lr={10**400}", "optimizer.lr=(a number of more than 80 digits): expected a number from 0 to 1e+30."),
    (f"data=photos data.root={'r' * 3000}", f"data.root={'r' * 77}...: expected at most 1,000 letters."),
    (f"data.cache_dir={'c' * 300}", f"data.cache_dir={'c' * 77}...: expected a path whose names have at most"),
    ("plugins=[1]", "plugins=1: expected a list of text."),
    ("optimizer._target_=3", "optimizer._target_=3: expected the name of a class with its module, such as"),
    ("hydra.output_subdir=null", "hydra.output_subdir=null: expected .hydra, where resume= and compare look for what"),
    ("hydra.output_subdir=notes", "hydra.output_subdir=notes: expected .hydra"),
    ("evaluate checkpoint=x hydra.output_subdir=null", "hydra.output_subdir=null: expected .hydra"),
    ("hydra.job.chdir=true", "hydra.job.chdir=true: expected false, since paths are as seen from where the command"),
    ("hydra.run.dir=.", "hydra.run.dir=.: expected a folder of its own, not the one that the command is in."),
    ("hydra.run.dir=..", "hydra.run.dir=..: expected a folder of its own"),
    ("hydra.run.dir=null", "Error merging override hydra.run.dir=null"),
    (f"hydra.run.dir={'r' * 300}", f"hydra.run.dir={'r' * 77}...: expected a path whose names have at most 255 bytes"),
    ("-m seed=0,1 hydra.sweep.subdir=one", "hydra.sweep.subdir=one: expected ${hydra.job.num} in it, since each job"),
    ("-m seed=0 hydra.sweep.subdir=.", "hydra.sweep.subdir=.: expected a folder below hydra.sweep.dir."),
    ("-m seed=0 hydra.sweep.subdir=../x", "hydra.sweep.subdir=../x: expected a folder below hydra.sweep.dir."),
    ("hydra.mode=SOMETIMES", "Invalid hydra.mode 'SOMETIMES'"),
    ("~hydra.callbacks.preflight", "~hydra.callbacks.preflight: these callbacks check"),
    (f"seed={'9' * 5000}", "Hydra cannot use what was typed (ValueError: Exceeds the limit (4300 digits)"),
    ("~approach", "approach=(removed): expected an option or settings"),
    ("~data.batch_size", "data.batch_size was removed: give it a value"),
    ("optimizer.lr=${nothing}", "Interpolation key 'nothing' not found"),
    ("optimizer.lr==3", "optimizer.lr==3: this is no setting (extraneous input '=')."),
    ("trian", "trian: no such command; the commands are train, evaluate, compare, predict, match, app, export, draw"),
    ("-m optimizer.lr=1e-3,fast", "optimizer.lr=fast: expected a number from 0 to 1e+30. (in the job optimizer.lr="),
    ("-m seed=0,1 trainer=ddp", "trainer.devices=2: expected 1 in a multirun"),
    ("-m approach=single,dul", "approach=dul: no such option; choose from dual, histogram, pretrained, single."),
    ("evaluate", "checkpoint has no value: give checkpoint=latest"),
    ("evaluate checkpoint=latest data=[1]", "data=[1]: expected the name of an option: photos, synthetic, table."),
    ("evaluate checkpoint=nowhere", "checkpoint=nowhere: no such file or folder."),
    ("evaluate checkpoint=latest", "checkpoint=latest: there is no trained run in outputs/"),
    ("evaluate checkpoint=latest data.batch_size=many", "data.batch_size=many: expected a whole number from 1 to 100"),
    ("compare nowhere", "nowhere: no such folder."),
    ("compare .", ".: there is no run in it"),
    ("predict", "expected either LEFT and RIGHT, or --stacked PHOTO, or --pairs FILE.csv."),
    ("predict one.jpg", "expected two photos, LEFT and RIGHT; received 1."),
    ("predict one.jpg two.jpg", "one.jpg: no such file."),
    ("predict . .", ".: this is a folder, expected a photo"),
    ("match nowhere", "nowhere: no such folder."),
    ("match . --threshold 1", "--threshold 1.0: expected a number between 0 and 1."),
    ("export --checkpoint nowhere", "checkpoint=nowhere: no such file or folder."),
    ("predict --pairs pairs.csv", "pairs.csv: No such file or directory; expected a CSV file."),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "said"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_two(shoepair: Command, tmp_path: Path, typed: str, said: str) -> None:
    outcome = shoepair(*typed.split())
    assert outcome.err.startswith(f"shoepair: {said}") and outcome.err.count("\n") == 1
    assert outcome.code == 2 and outcome.out == ""
    assert not (tmp_path / "outputs").exists()  # nothing was begun


GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and list(folder.glob("*.yaml")))


@pytest.mark.parametrize("value", ["1", "1.5", "true", "null", "[1]", "[null]", "[[a]]", "[{a: 1}]"])
@pytest.mark.parametrize("group", GROUPS)
def test_what_is_no_name_is_answered_with_all_names(shoepair: Command, group: str, value: str) -> None:
    outcome = shoepair(f"{group}={value}")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert re.match(
        rf"shoepair: {group}={re.escape(value)}: expected (the name of an option|names of options)", outcome.err
    )
    options = {path.relative_to(CONF / group).with_suffix("").as_posix() for path in (CONF / group).rglob("*.yaml")}
    assert all(option in outcome.err for option in options)


def test_an_option_whose_name_is_a_number_is_typed_in_quotes(shoepair: Command, tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "7.yaml").write_text("# @package _global_\nseed: 77\n")
    typed = ("--config-dir", "own", "--cfg", "job")
    assert """, which a number is in quotes: experiment="'7'".""" in shoepair(*typed, "experiment=7").err
    assert "seed: 77" in shoepair(*typed, "experiment='7'").out


def test_an_option_can_be_left_out_by_its_name(shoepair: Command) -> None:
    outcome = shoepair("~logger=tensorboard", "--cfg", "job")
    assert outcome.code == 0 and "\nlogger: {}\n" in outcome.out


def test_hydra_full_error_shows_the_traceback(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match=r"optimizer\.lrr"):
        shoepair("optimizer.lrr=1")


@pytest.mark.parametrize("before", RENAMED_KEYS)
def test_a_key_of_before_is_answered_by_its_new_name(shoepair: Command, before: str) -> None:
    outcome = shoepair(f"{before}=1")
    assert outcome.code == 2 and outcome.err == f"shoepair: {before} is now {RENAMED_KEYS[before]}.\n"
    assert RENAMED_KEYS[before] in known_keys()


@pytest.mark.parametrize(
    "added", ["+trainer.limit_train_batches=2", "+optimizer.amsgrad=true", "+trainer.profiler=simple"]
)
def test_a_key_that_its_target_knows_may_be_added(added: str) -> None:
    key, _, value = added.lstrip("+").partition("=")
    section, _, name = key.partition(".")
    assert str(train_settings(added).plain()[section][name]).lower() == value


def test_parameters_are_those_of_the_class_itself() -> None:
    """They are read from its source, without importing it."""
    adam = parameters_of("torch.optim.Adam")
    assert adam is not None and "amsgrad" in adam and "lrr" not in adam
    assert parameters_of("somewhere.Else") is None


def test_each_argument_of_the_trainer_is_a_key_or_is_answered_by_what_does_the_same() -> None:
    ours, refused = set(TrainerSettings.model_fields), set(NOT_HERE)
    assert not ours & refused and ours | refused == set(inspect.signature(Trainer.__init__).parameters) - {"self"}


@pytest.mark.parametrize("name", NOT_HERE)
def test_an_argument_of_the_trainer_that_is_not_for_here_is_refused_before_anything_is_made(
    shoepair: Command, tmp_path: Path, name: str
) -> None:
    outcome = shoepair(f"+trainer.{name}=1")
    assert outcome.code == 2 and outcome.err == f"shoepair: trainer.{name}=1: {NOT_HERE[name]}\n"
    assert not list(tmp_path.iterdir())


def options(group: str) -> list[str]:
    files = (CONF / group).rglob("*.yaml")
    return sorted(path.relative_to(CONF / group).with_suffix("").as_posix() for path in files)


@pytest.mark.parametrize(
    "group", ["approach", "optimizer", "scheduler", "trainer", "mode", "augment", "experiment", "sweep"]
)
def test_every_option_composes_and_passes_its_own_check(group: str) -> None:
    for option in options(group):
        goes_with = ("experiment=best_pretrained",) if option == "lbfgs" else ()
        train_settings(*goes_with, f"{group}={option}")


def test_every_key_of_the_configuration_is_in_the_schema() -> None:
    known = known_keys()
    with initialize_config_module("shoepair.conf"):
        for group in ("approach", "data", "optimizer", "scheduler", "trainer", "mode", "augment"):
            for option in options(group):
                config = OmegaConf.to_container(compose("train", [f"{group}={option}"]))
                assert not [
                    key
                    for key in leaves(config)
                    if key not in known and key != "data.augment" and not key.startswith("logger.")
                ]


def test_an_option_of_augment_goes_with_any_experiment_and_what_is_typed_wins() -> None:
    for experiment in ("best_dual", "original_single"):
        typed = (f"experiment={experiment}", "augment=harsh", "data.augment.rotation_deg=3")
        augment = train_settings(*typed).data.augment
        assert augment is not None and (augment.rotation_deg, augment.hflip) == (3, 0.5) and augment.exposure > 0
    assert train_settings("augment=harsh", "mode=sanity").data.augment is None


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_the_sanity_mode_holds_nothing_back_in_any_experiment(experiment: str) -> None:
    settings = train_settings(f"experiment={experiment}", "mode=sanity")
    approach = settings.approach.plain()
    assert settings.negative_weight == 1 and settings.data.augment is None and settings.ema_decay is None
    assert all(approach.get(key, 0) == 0 for key in ("dropout", "copies", "penalty", "local_penalty"))
    assert approach.get("copy_weight", 1) == 1


def test_the_sanity_mode_takes_no_key_of_another_approach() -> None:
    assert train_settings("approach=histogram", "mode=sanity").approach.name == "histogram"
    for typed in (("approach=histogram", "approach.penalty=1"), ("approach=dual", "approach.local_penalty=nonsense")):
        with pytest.raises(UserError, match="no such key"):
            train_settings(*typed, "mode=sanity")


def test_what_was_begun_goes_on_whatever_a_new_run_may_not_do() -> None:
    typed = ("experiment=best_pretrained", "approach.weights=null", "resume=some_run")
    assert train_settings(*typed, "approach.dropout=0.2", "trainer.gradient_clip_val=1").resume == "some_run"
    assert train_settings("approach=dual", "approach.cutout=112", "approach.copies=2", "resume=some_run").resume


def leaves(node: object, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else key)]


@pytest.mark.parametrize("approach", ["single", "dual"])
def test_original_experiments_are_those_of_the_original(approach: str) -> None:
    settings = train_settings(f"experiment=original_{approach}")
    assert settings.approach == network_settings(approach).approach
    assert settings.approach.plain() == {
        "name": approach, "fusion": "stack", "kernel_size": 5, "width": 4, "stages": 4, "pooling": "max",
        "norm": "batch" if approach == "single" else "none", "hidden_units": 100, "dropout": 0.0, "cutout": None,
        "copies": 0, "earlier_stage": False,
    }  # fmt: skip
    assert settings.data.image_size == 224 and settings.data.batch_size == 42 and settings.data.negatives == "cyclic"
    assert settings.data.augment is not None and not any(settings.data.augment.plain().values())
    assert settings.optimizer.plain() == {
        "_target_": "torch.optim.Adam",
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "betas": [0.9, 0.999],
    }
    assert settings.trainer.max_epochs == 30 and settings.trainer.precision == "32-true"
