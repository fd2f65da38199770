"""The settings of `trainer`: which arguments of Lightning's Trainer a run may be given, and what to do instead of each
of the others. Together they are all that it has.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from shoepair.config.values import Allowed, Count, Devices, Rate, Section, key


class DeviceSettings(Section):
    """What a network computes on; goes to lightning.Trainer."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = key("What computes.")
    devices: Devices = key("How many of it, or which.")
    strategy: Literal[
        "auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"
    ] = key("How several devices share the work.", default="auto")  # fmt: skip
    deterministic: Annotated[bool | Literal["warn"], Allowed("true, false or warn")] = key(
        "The same command and seed give the same metrics."
    )


Batches = Annotated[
    Annotated[int, Ge(1), Le(1_000_000)] | Annotated[float, Gt(0), Le(1)],
    Allowed("a whole number from 1 to 1,000,000, or a part of all: a number from 0.0 (not included) to 1.0"),
]


# The defaults of what can be added are never used: see Section.plain.
class TrainerSettings(DeviceSettings):
    """Goes to lightning.Trainer. What has no value here can be added: +trainer.limit_train_batches=10."""

    max_epochs: Count = key("Epochs.")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = key(
        "auto: bf16-mixed where the device computes in bfloat16 (some CPUs, most GPUs), else 32-true."
    )
    gradient_clip_val: Rate | None = key("The largest norm of the gradient; null or 0: any.")
    accumulate_grad_batches: Count = key("Batches whose gradients are added before each step.")
    gradient_clip_algorithm: Literal["norm", "value"] = key(
        "value: gradient_clip_val is of each number of the gradient.", default="norm"
    )
    limit_train_batches: Batches = key("So many batches, or such a part of them, are an epoch.", default=1.0)
    limit_val_batches: Batches = key(
        "So many, or such a part of them, validate after each epoch; the run's figures are still of all.", default=1.0
    )
    min_epochs: Count = key("Stop early, or as learned, after so many at the soonest.", default=1)
    min_steps: Count = key("As min_epochs, in steps of the optimizer.", default=1)
    profiler: Literal["simple", "advanced"] = key(
        "What takes how long, written to fit-profile.txt in the run's folder.", default="simple"
    )
    detect_anomaly: bool = key("Say which operation made a gradient that is no number; slow.", default=False)
    benchmark: bool = key("Let cuDNN try out which algorithms are quickest.", default=False)
    inference_mode: bool = key("Validate in torch's inference mode; false: in no_grad.", default=True)


# Said after the key and its value.
NOT_HERE = {
    "barebones": "a run is always told, kept and logged; +trainer.profiler=simple says what that takes.",
    "callbacks": "callbacks=NAME chooses those of a file of yours, callbacks/NAME.yaml.",
    "check_val_every_n_epoch": "the best of all epochs is kept, so that each one validates; "
    "+trainer.limit_val_batches=0.1 makes that quicker.",
    "default_root_dir": "a run writes into its own folder; output_dir=FOLDER or hydra.run.dir=FOLDER says where.",
    "enable_autolog_hparams": "a run writes its own row of hyperparameters.",
    "enable_checkpointing": "the best epoch and the last one are kept; keep=last makes the last one the result.",
    "enable_model_summary": "a run says how many parameters it learns.",
    "enable_progress_bar": "there is a bar where a terminal is; `shoepair train ... 2>FILE` is without.",
    "fast_dev_run": "a run is tried out quickly by mode=sanity, or by "
    "+trainer.limit_train_batches=2 trainer.max_epochs=1.",
    "limit_predict_batches": "pairs are judged by `shoepair predict`.",
    "limit_test_batches": "test sets are looked at as a whole; test=false leaves them out.",
    "log_every_n_steps": "curves have a point for each epoch; +trainer.limit_train_batches=10 makes shorter epochs.",
    "logger": "logger=NAME or logger=[NAME,NAME] chooses where figures go.",
    "max_steps": "a run ends after whole epochs; +trainer.limit_train_batches=N trainer.max_epochs=1 are N steps.",
    "max_time": "a run ends after whole epochs; `timeout 3600 shoepair train ...` ends one after an hour, and resume= "
    "goes on with it.",
    "model_registry": "a checkpoint is a file; copy it to where it is wanted.",
    "num_nodes": "a run trains on one machine; trainer=ddp trainer.devices=N uses several of its devices, "
    "launcher=slurm runs the jobs of a sweep on several machines.",
    "num_sanity_val_steps": "all is checked before the first step; mode=sanity checks that something is learned.",
    "overfit_batches": "use mode=sanity, or data.num_people=6 data.validate_on_train=true.",
    "plugins": "they cannot be typed; trainer.precision and trainer.strategy choose those that a run needs.",
    "reload_dataloaders_every_n_epochs": "data.negatives=resampled draws other pairs in each epoch.",
    "sync_batchnorm": "expected false, since Lightning would replace whole stages of the network, which hold their "
    "batch norm, ReLU and pooling in one.",
    "use_distributed_sampler": "each process takes its own part of every batch.",
    "val_check_interval": "a run validates after each epoch; +trainer.limit_train_batches=0.5 makes shorter ones.",
}
