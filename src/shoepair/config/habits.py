"""What people type who know other templates, and what it is here: said instead of "no such key"."""

# By key, or by its first part.
KEYS = {
    "ckpt_path": "resume=FOLDER goes on with an interrupted run, init_from=FOLDER starts a new one from its weights, "
    "shoepair evaluate checkpoint=FOLDER measures it.",
    "resume_from_checkpoint": "resume=FOLDER goes on with an interrupted run.",
    "hparams_search": "sweep=search searches, in the space that space=NAME chooses.",
    "optimized_metric": "sweep=search looks for the best validation accuracy.",
    "paths": "data.root=FOLDER is where photos are, output_dir=FOLDER where runs are written.",
    "data_dir": "data.root=FOLDER is where photos are.",
    "root_dir": "output_dir=FOLDER is where runs are written.",
    "log_dir": "output_dir=FOLDER is where runs are written.",
    "model": "approach=NAME chooses the network (dual, single, pretrained, histogram), approach.KEY=VALUE changes it.",
    "net": "approach=NAME chooses the network (dual, single, pretrained, histogram), approach.KEY=VALUE changes it.",
    "datamodule": "data=NAME chooses the data (synthetic, photos, table).",
    "dataset": "data=NAME chooses the data (synthetic, photos, table).",
    "tags": "a run is known by its folder, hydra.run.dir=FOLDER; MLflow and W&B take +logger.mlflow.tags={NAME: VALUE} "
    "and +logger.wandb.tags=[NAME].",
    "task_name": "a run is known by its folder, hydra.run.dir=FOLDER.",
    "debug": "mode=sanity asks whether it can learn at all; +trainer.limit_train_batches=2 trainer.max_epochs=1 tries "
    "a run out, +trainer.profiler=simple says what takes how long.",
    "gpus": "trainer=gpu takes one, trainer=ddp trainer.devices=N several.",
    "epochs": "trainer.max_epochs=N.",
    "train": "a run always trains; shoepair evaluate checkpoint=FOLDER measures what was trained.",
    "extras": "shoepair train ... --cfg job shows what a run would use.",
    "matrix": "-m KEY=VALUE,VALUE varies a key.",
}

# By GROUP=OPTION, or by the group.
OPTIONS = {
    "trainer=cpu": "trainer.accelerator=cpu.",
    "trainer=mps": "trainer.accelerator=mps.",
    "trainer=ddp_sim": "trainer=ddp trainer.accelerator=cpu.",
    "logger=many_loggers": "logger=[tensorboard,csv].",
    "callbacks": "a file callbacks/NAME.yaml in a folder that --config-dir names adds any of Lightning's; "
    "early_stopping.patience=N and keep=best are keys of their own.",
    "augment=handheld": "augment=harsh.",
    "experiment=cutout_dual": "experiment=best_dual.",
    "experiment/best_dual": "experiment=best_dual data=photos data.root=FOLDER does both steps.",
    "experiment/best_single": "experiment=best_single data=photos data.root=FOLDER does both steps.",
    "logger": "a file logger/NAME.yaml in a folder that --config-dir names adds any other of Lightning's.",
}


def of_key(key: str) -> str | None:
    """What does here what was typed, though it is no key; None if nobody types it by habit."""
    found = KEYS.get(key, KEYS.get(key.partition(".")[0]))
    return None if found is None else f"{key}: no such key; here, {found}"


def of_option(group: str, option: str) -> str | None:
    """As of_key, of GROUP=OPTION."""
    found = OPTIONS.get(f"{group}={option}", OPTIONS.get(group))
    return None if found is None else f"{group}={option}: no such option; here, {found}"
