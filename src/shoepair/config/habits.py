"""What people type who know other templates, and what it is here: said instead of "no such key"."""

NETWORK = "approach=NAME chooses the network (dual, single, pretrained, histogram), approach.KEY=VALUE changes it."

# By key, by its first part, or, of some, by its last one.
KEYS = {
    "ckpt_path": "resume=FOLDER goes on with an interrupted run, init_from=FOLDER starts a new one from its weights, "
    "shoepair evaluate checkpoint=FOLDER measures it.",
    "resume_from_checkpoint": "resume=FOLDER goes on with an interrupted run.",
    "hparams_search": "sweep=search searches, in the space that space=NAME chooses.",
    "optimized_metric": "sweep=search looks for the best validation accuracy.",
    "paths": "data.root=FOLDER is where photos are, output_dir=FOLDER where runs are written.",
    "data_dir": "data.root=FOLDER is where photos are.",
    **dict.fromkeys(("root_dir", "log_dir", "save_dir"), "output_dir=FOLDER is where runs are written."),
    **dict.fromkeys(("model", "net", "network"), NETWORK),
    "backbone": "approach=pretrained approach.encoder=timm/NAME chooses the encoder.",
    **dict.fromkeys(("datamodule", "dataset"), "data=NAME chooses the data (synthetic, photos, table)."),
    "tags": "a run is known by its folder, hydra.run.dir=FOLDER; W&B takes logger=wandb +logger.wandb.tags=[NAME], "
    "MLflow logger=mlflow '+logger.mlflow.tags={NAME: VALUE}'.",
    **dict.fromkeys(("task_name", "run_name", "name"), "a run is known by its folder, hydra.run.dir=FOLDER."),
    "debug": "mode=sanity asks whether it can learn at all; +trainer.limit_train_batches=2 trainer.max_epochs=1 tries "
    "a run out, +trainer.profiler=simple says what takes how long.",
    **dict.fromkeys(("gpu", "gpus"), "trainer=gpu takes one, trainer=ddp trainer.devices=N several."),
    "device": "trainer.accelerator=cpu, gpu or auto says where a run trains.",
    **dict.fromkeys(("amp", "fp16"), "trainer.precision=16-mixed; auto takes bfloat16 where that is fast."),
    **dict.fromkeys(("epochs", "num_epochs", "n_epochs"), "trainer.max_epochs=N."),
    "learning_rate": "optimizer.lr=RATE.",
    "seed_everything": "seed=N.",
    "model_checkpoint": "keep=best and keep=last say which epoch is kept.",
    **dict.fromkeys(("early_stopping", "patience"), "early_stopping.patience=N."),
    "checkpoint": "init_from=FOLDER starts from its weights, shoepair evaluate checkpoint=FOLDER measures it.",
    "train": "a run always trains; shoepair evaluate checkpoint=FOLDER measures what was trained.",
    **dict.fromkeys(("extras", "print_config"), "shoepair train ... --cfg job shows what a run would use."),
    "verbose": "hydra.verbose=true says more.",
    "wandb": "logger=wandb, then logger.wandb.KEY=VALUE.",
    "mlflow": "logger=mlflow, then logger.mlflow.KEY=VALUE.",
    "matrix": "-m KEY=VALUE,VALUE varies a key.",
}

ANYWHERE = (  # of KEYS: inside of sections, too
    "ckpt_path", "data_dir", "early_stopping", "gpu", "gpus", "learning_rate", "model_checkpoint",
    "resume_from_checkpoint", "seed_everything",
)  # fmt: skip

# By GROUP=OPTION, or by the group.
OPTIONS = {
    "trainer=cpu": "trainer.accelerator=cpu.",
    "trainer=mps": "trainer.accelerator=mps.",
    "trainer=ddp_sim": "trainer=ddp trainer.accelerator=cpu.",
    "trainer=tpu": "trainer.accelerator=tpu.",
    "trainer=debug": "mode=sanity, or +trainer.limit_train_batches=2 trainer.max_epochs=1.",
    "trainer=fsdp": "trainer=ddp, since these networks fit on one device.",
    "trainer=deepspeed": "trainer=ddp, since these networks fit on one device.",
    "logger=none": "logger=[].",
    "logger=many_loggers": "logger=[tensorboard,csv].",
    "callbacks": "a file callbacks/NAME.yaml in a folder that --config-dir names adds any of Lightning's; "
    "early_stopping.patience=N and keep=best are keys of their own.",
    "augment=handheld": "augment=harsh.",
    "experiment=cutout_dual": "experiment=best_dual.",
    "experiment/best_dual": "experiment=best_dual data=photos data.root=FOLDER, one step.",
    "experiment/best_single": "experiment=best_single data=photos data.root=FOLDER, one step.",
    "logger": "a file logger/NAME.yaml in a folder that --config-dir names adds any other of Lightning's.",
}


def of_key(key: str) -> str | None:
    """What does here what was typed, though it is no key; None if nobody types it by habit."""
    first, last = key.partition(".")[0], key.rpartition(".")[2]
    names = [key, *([first] if first != "early_stopping" else []), *([last] if last in ANYWHERE else [])]
    found = next((KEYS[name] for name in names if name in KEYS), None)
    return None if found is None else f"{key}: no such key; here, {found}"


def of_option(group: str, option: str) -> str | None:
    """As of_key, of GROUP=OPTION."""
    found = OPTIONS.get(f"{group}={option}", OPTIONS.get(group))
    return None if found is None else f"{group}={option}: no such option; here, {found}"
