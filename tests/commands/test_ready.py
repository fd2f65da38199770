"""The networks that come with shoepair: ready answers where nothing was trained, and says what it learned from."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Command
from PIL import Image
from settings import train_settings

from shoepair import load_classifier
from shoepair.config.approaches import OF_CUT_OUTS, PretrainedSettings
from shoepair.errors import UserError
from shoepair.models.encoders import TAUGHT
from shoepair.reports.explanation import UNLIKE_BELOW
from shoepair.runs.checkpoint import read_checkpoint
from shoepair.runs.packaged import BEST, ENCODER, PACKAGED, READY, packaged_checkpoint
from shoepair.training.ready import LARGEST_FILE, ON_PHOTOS, packed

COMES = "Network: ready, which comes with shoepair, learned from drawn shoes alone (docs/models.md)\n"


@pytest.fixture(scope="module")
def photos(drawn_large: Path) -> list[Path]:
    """Left and right shoe of every drawn pair, in turn, as large as photos are."""
    return sorted((drawn_large / "train").iterdir())


@pytest.fixture(scope="module")
def drawn_large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from shoepair.data.synthetic.collection import draw_shoes

    folder = tmp_path_factory.mktemp("large")
    (folder / "train").mkdir()
    shoes = draw_shoes(num_people=2, num_test_people=0, image_size=224, seed=77, hardness=0.0)["train"]
    for shoe, image in zip(shoes.shoes, shoes.images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / "train" / f"{shoe.name}.png")
    return folder


@pytest.mark.parametrize(("name", "experiment"), [(READY, "ready"), (BEST, "ready_best")])
def test_what_is_packed_is_what_make_weights_would_train(name: str, experiment: str) -> None:
    """An experiment inherits from others: what these gain, its own network has not."""
    wanted = train_settings(f"experiment={experiment}").approach
    packed_one = read_checkpoint(PACKAGED[name]).network.approach
    assert packed_one.plain() == (wanted.without_weights() if name == BEST else wanted).plain()


def test_two_photos_are_judged_where_nothing_was_trained(shoepair: Command, photos: list[Path]) -> None:
    said = []
    for other in (1, 3):
        outcome = shoepair("predict", str(photos[0]), str(photos[other]), "--json")
        assert outcome.code == 0 and outcome.err == COMES, outcome.err
        said.append(json.loads(outcome.out)["probability"])
    assert said[0] > 0.5 > said[1]
    assert load_classifier().compare(photos[0], photos[1]).probability == pytest.approx(said[0], abs=1e-6)


def test_a_heap_is_matched_where_nothing_was_trained(shoepair: Command, drawn_large: Path) -> None:
    outcome = shoepair("match", str(drawn_large / "train"), "--score")
    assert outcome.code == 0 and COMES in outcome.err, outcome.err
    assert "5 of" in outcome.out or "6 of" in outcome.out  # of six pairs


def test_what_was_trained_here_is_preferred_and_ready_is_a_name(
    shoepair: Command, trained: Path, drawn_large: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parents[1])
    shown = [str(photo) for photo in photos[:2]]
    assert COMES not in shoepair("predict", *shown).err
    assert shoepair("predict", *shown, "--checkpoint", "ready").err == COMES
    of_two = ("data=photos", f"data.root={drawn_large}", "data.train_fraction=0.5", "hydra.run.dir=outputs/measured")
    outcome = shoepair("evaluate", "checkpoint=ready", *of_two)
    assert outcome.code == 0 and f"Checkpoint {PACKAGED[READY]}" in outcome.out, outcome.err
    shutil.rmtree("outputs/measured")


@pytest.mark.parametrize("name", PACKAGED)
def test_it_is_small_plain_and_learned_from_drawn_shoes_alone(name: str) -> None:
    assert PACKAGED[name].stat().st_size <= LARGEST_FILE
    content = torch.load(PACKAGED[name], weights_only=True)
    config = content["config"]
    assert config["data"]["name"] == "synthetic" and config["init_from"] is None
    assert not any("/" in str(value) for value in (config["output_dir"], config["data"]["cache_dir"]))
    weights = content["state_dict"]
    assert not any(".body." in key for key in weights)  # what learned elsewhere does not travel
    half = [w.dtype == torch.float16 for key, w in weights.items() if w.is_floating_point() and "running" not in key]
    assert all(half)


@pytest.mark.slow
def test_best_downloads_its_encoder_once(
    served: tuple[str, dict[str, bytes]], photos: list[Path], tmp_path: Path
) -> None:
    """From a server that speaks as the Hugging Face hub does, with an encoder that has learned nothing."""
    timm = pytest.importorskip("timm")
    save = pytest.importorskip("safetensors.torch").save
    address, files = served
    torch.manual_seed(1)
    weights = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    whole = {"timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors": save(weights)}
    typed = [sys.executable, "-m", "shoepair", "predict", *map(str, photos[:2]), "--checkpoint", "best", "--json"]

    def predict(**environment: str) -> subprocess.CompletedProcess[str]:
        own = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hub")}
        own |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "no_proxy": "127.0.0.1"} | environment
        return subprocess.run(typed, cwd=tmp_path, env=own, capture_output=True, text=True)

    started = time.monotonic()
    offline = predict(HF_ENDPOINT="http://127.0.0.1:9")
    assert time.monotonic() - started < 30  # its client would try for a minute
    assert offline.returncode == 2 and offline.stderr == (
        "shoepair: checkpoint=best: its encoder is not here yet, and http://127.0.0.1:9 does not answer; try again, or "
        "take ready, which needs no download.\n"
    )
    missing = predict()  # it answers, but has no such file
    assert missing.returncode == 2 and "checkpoint=best: approach.weights=default: the dow" in missing.stderr

    files |= whole
    first = predict()
    assert first.returncode == 0, first.stderr
    assert "Network: downloading its encoder once, 19 MB: timm/tf_efficientnet_lite0" in first.stderr
    assert "Network: best, which comes with shoepair" in first.stderr
    files.clear()
    again = predict()
    assert again.returncode == 0 and "downloading" not in again.stderr, again.stderr
    assert again.stdout == first.stdout
    (kept,) = (tmp_path / "cache").rglob("best-*.ckpt")
    found = read_checkpoint(kept).state_dict
    taught = torch.load(TAUGHT, map_location="cpu", weights_only=True)
    assert taught and all(
        torch.equal(found[ENCODER + key], weight + taught.get(key, 0))
        for key, weight in weights.items()
        if not key.startswith("classifier.")
    )


@pytest.mark.parametrize("later", ["colours", "earlier_layer", "draws"])
def test_a_packed_file_that_lacks_a_later_key_gets_its_encoder(
    later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[PretrainedSettings] = []

    class Encoder:
        body = torch.nn.Linear(2, 2)

        def __init__(self, settings: PretrainedSettings, image_size: int) -> None:
            asked.append(settings)

    monkeypatch.setattr("shoepair.models.encoders.PretrainedEncoder", Encoder)
    monkeypatch.setattr("shoepair.runs.packaged._refuse_unreachable", lambda key: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    content = torch.load(PACKAGED[BEST], weights_only=True)
    for approach in (content["config"]["approach"], content["hyper_parameters"]["network"]["approach"]):
        del approach[later]
    torch.save(content, tmp_path / "best.ckpt")
    monkeypatch.setitem(PACKAGED, BEST, tmp_path / "best.ckpt")
    whole = packaged_checkpoint(BEST, "checkpoint")
    assert getattr(asked[0], later) == OF_CUT_OUTS[later]  # as it was before there was that key
    assert f"{ENCODER}weight" in torch.load(whole, weights_only=True)["state_dict"]


def test_packing_takes_the_margin_from_every_logit(
    shoepair: Command, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoepair.training.ready._halved", dict)  # whose rounding moves an untrained network's logits
    cut = [setting for setting in TINY if "image_size" not in setting]
    typed = ("experiment=ready", *cut, "data.image_size=64", "approach.cutout=32", "hydra.run.dir=outputs/run")
    assert shoepair("train", *typed).code == 0
    checkpoint = read_checkpoint("outputs/run/checkpoints/best.ckpt")
    torch.save(packed(checkpoint), "packed.ckpt")
    before, after = (load_classifier(path) for path in ("outputs/run", "packed.ckpt"))
    raw = [
        torch.logit(torch.tensor(c.compare(*photos[:2]).probability)) * c.trained.temperature for c in (before, after)
    ]
    assert float(raw[0] - raw[1]) == pytest.approx(ON_PHOTOS["dual"].shift, abs=1e-3)
    # Who trains it further starts with nothing that photos have taught.
    learned, adapted = read_checkpoint("packed.ckpt").learned_weights, read_checkpoint("packed.ckpt").network_weights
    assert [f"network.{name}" for name in learned if not torch.equal(learned[name], adapted[name])] == list(
        ON_PHOTOS["dual"].biases
    )
    assert all(torch.equal(learned[name], weight) for name, weight in checkpoint.network_weights.items())
    checkpoint.content["config"]["data"]["name"] = "photos"
    with pytest.raises(UserError, match="drawn shoes alone"):
        packed(checkpoint)


@pytest.mark.parametrize(
    "learned",
    [
        {"network.siamese.members.0.head.5.bias": torch.full((2,), torch.nan)},
        {"network.siamese.members.0.head.5.bias": torch.zeros(3)},
        {"network.siamese.members.0.head.5.weight": torch.zeros(2, 64)},
        {"network.siamese.logit_std": torch.zeros(2)},
        {"network.nothing.bias": torch.zeros(2)},
        {"network.siamese.members.0.head.5.bias": [0.0, 0.0]},
        {"network.siamese.members.0.head.5.bias": torch.zeros(2, dtype=torch.int64)},
        [],
        3,
    ],
)
def test_a_file_hands_on_nothing_but_biases_of_its_heads(tmp_path: Path, learned: Any) -> None:
    content = torch.load(PACKAGED["ready"], weights_only=True)
    assert set(content["learned"]) == set(ON_PHOTOS["dual"].biases)
    torch.save(content | {"learned": learned}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match="this is no checkpoint of shoepair"):
        read_checkpoint(tmp_path / "w.ckpt")


def test_shoes_of_one_pair_are_shaded_as_more_alike_than_others(photos: list[Path]) -> None:
    classifier = load_classifier("ready")
    own, other = (classifier.explain(photos[0], photo).alike for photo in (photos[1], photos[3]))
    for alike in (own, other):
        assert alike.shape == (2, 14, 14) and np.nanmin(alike) >= 0 and np.nanmax(alike) <= 1
        assert 0.1 < np.isfinite(alike).mean() < 0.7  # floors are not compared
    assert np.nanmean(own) > 0.5 > np.nanmean(other) and np.nanmean(own) > np.nanmean(other) + 0.2
    assert (own < UNLIKE_BELOW).sum() < (other < UNLIKE_BELOW).sum() / 2


def test_a_picture_is_written_over_no_photo(shoepair: Command, drawn_photos: Path, tmp_path: Path) -> None:
    for photo in sorted((drawn_photos / "train").iterdir())[:3]:
        shutil.copy(photo, tmp_path)
    left, right, third = sorted(path.name for path in tmp_path.glob("*.png"))
    before = (tmp_path / left).read_bytes()
    outcome = shoepair("predict", "--checkpoint", "ready", "--explain", left, right, third)
    assert outcome.code == 2 and f"--explain {left}: this file is there already" in outcome.err
    assert (tmp_path / left).read_bytes() == before
    for _ in range(2):
        assert shoepair("predict", "--checkpoint", "ready", left, right, "--explain", "why.png").code == 0


def test_an_image_that_cannot_be_used_is_said_to_be_one_and_the_others_go_on(drawn_photos: Path) -> None:
    classifier = load_classifier("ready")
    good = Image.open(sorted((drawn_photos / "train").iterdir())[0])
    file = io.BytesIO()
    good.save(file, "PNG")
    bad: list[Any] = [Image.open(io.BytesIO(file.getvalue()[:-500])), Image.new("RGB", (0, 5)),
           torch.zeros(3, 8, 8, dtype=torch.bfloat16)]  # fmt: skip
    found = list(classifier.try_all([(good, good), *((one, good) for one in bad)]))
    assert [isinstance(one, UserError) for one in found] == [False, True, True, True]
    with pytest.raises(UserError, match="no such file or folder"):
        load_classifier("x" * 5000)
