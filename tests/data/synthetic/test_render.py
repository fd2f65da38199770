"""Drawn shoes as their user sees them: what a pair is, what data.hardness does, what `shoepair draw` writes."""

import itertools
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image

from shoepair.data.layout import LEFT, RIGHT
from shoepair.data.photos import read_photos
from shoepair.data.shoes import Shoe
from shoepair.data.synthetic.collection import design_of, draw_one, draw_shoes, shoes_of
from shoepair.data.synthetic.designs import KIND_MIX, KINDS, draw_design, draw_placement, draw_scene, draw_taste
from shoepair.data.synthetic.geometry import make_last
from shoepair.data.synthetic.render import draw_shoe


def shoe(person: int, pair: int, side: str) -> Shoe:
    return Shoe(f"u{person:03d}", str(pair), side, "m", "any")


def test_a_shoe_is_the_same_bit_for_bit_in_whatever_order() -> None:
    names = [(person, pair, side) for person in (1, 2) for pair in (1, 2) for side in (LEFT, RIGHT)]
    once = {name: draw_one(shoe(*name), 64, seed=3, hardness=0.5) for name in names}
    for name in reversed(names):
        assert np.array_equal(draw_one(shoe(*name), 64, seed=3, hardness=0.5), once[name])
    assert all(not np.array_equal(once[one], once[other]) for one, other in itertools.combinations(names, 2))


def test_drawing_on_several_cores_changes_nothing(tmp_path: Path) -> None:
    drawn = draw_shoes(num_people=9, num_test_people=0, image_size=32, seed=1, hardness=0.7, cache_dir=tmp_path)
    for row in (0, 31, 53):
        alone = draw_one(drawn["train"].shoes[row], 32, seed=1, hardness=0.7)
        assert np.array_equal(drawn["train"].images[row].numpy(), alone)


def test_seed_and_hardness_are_part_of_the_cache(tmp_path: Path) -> None:
    sets = [
        draw_shoes(num_people=2, num_test_people=0, image_size=32, seed=seed, hardness=hardness, cache_dir=tmp_path)
        for seed, hardness in ((0, 0.0), (1, 0.0), (0, 1.0))
    ]
    for one, other in itertools.combinations(sets, 2):
        assert not torch.equal(one["train"].images, other["train"].images)


def test_the_right_shoe_is_the_mirror_image_of_the_left() -> None:
    # Seen straight from the front, a mirrored last is a mirrored outline; nothing else of the photo is compared.
    random = np.random.default_rng(0)
    design = draw_design(random, "m", 0, draw_taste(random), 0.0)
    scene = draw_scene(random)
    scene = replace(scene, facing=1.5 * np.pi, floor="mat", floor_colours=((1.0, 1.0, 1.0),) * 2, light=0.0)
    placement = replace(draw_placement(random), shift=(0.0, 0.0), turn=0.0, falloff=(0.0, 0.0), wear=0.0)
    left = draw_shoe(design, scene, placement, left=True).picture.astype(float)
    right = draw_shoe(design, scene, placement, left=False).picture.astype(float)
    mirrored, same = np.abs(left - right[:, ::-1]).mean(), np.abs(left - right).mean()
    assert mirrored < 0.6 * same


def test_a_left_shoe_bends_to_its_inner_side() -> None:
    random = np.random.default_rng(1)
    upper = make_last(draw_design(random, "m", 0, draw_taste(random), 0.0).form).upper
    toe, heel = upper[:, 0, -1, 1].mean(), upper[:, 0, 0, 1].mean()
    assert toe < heel - 0.01


def test_both_shoes_of_a_pair_have_one_design_and_all_of_a_persons_one_scene() -> None:
    shoes = shoes_of("u007", "train", seed=0)
    designs = {(one.pair, one.side): design_of(one, seed=0, hardness=0.8) for one in shoes}
    for pair in "123":
        assert designs[pair, LEFT] == designs[pair, RIGHT]
    assert len({designs[pair, LEFT] for pair in "123"}) == 3


def distance_of_colours(hardness: float) -> float:
    """Mean difference between the palettes of one person's pairs."""
    distances = []
    for person in range(1, 61):
        palettes = [
            np.asarray(astuple(design_of(shoe(person, pair, LEFT), seed=0, hardness=hardness).palette))
            for pair in (1, 2, 3)
        ]
        distances += [np.abs(one - other).mean() for one, other in itertools.combinations(palettes, 2)]
    return float(np.mean(distances))


def test_a_persons_pairs_grow_alike_in_colour_with_hardness() -> None:
    distances = [distance_of_colours(hardness) for hardness in (0.0, 0.5, 0.8, 1.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.25 * distances[0]


def test_at_full_hardness_designs_still_differ() -> None:
    for person in range(1, 21):
        forms = {design_of(shoe(person, pair, LEFT), seed=0, hardness=1.0).form for pair in (1, 2, 3)}
        assert len(forms) == 3


def test_mens_and_womens_shoes_come_from_different_mixes() -> None:
    for mix in KIND_MIX.values():
        assert len(mix) == len(KINDS) and sum(mix) == pytest.approx(1)
    women = {design_of(one, 0, 0.5).kind for k in range(60) for one in shoes_of(f"u{k:03d}", "test_w", 0)}
    men = {design_of(one, 0, 0.5).kind for k in range(60) for one in shoes_of(f"u{k:03d}", "test_m", 0)}
    assert "heel" in women and "heel" not in men and {"sneaker", "boot", "loafer"} <= women & men


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", [True, False])
def test_every_kind_fills_most_of_its_picture(kind: str, left: bool) -> None:
    random = np.random.default_rng(KINDS.index(kind))
    sex = "w" if KIND_MIX["m"][KINDS.index(kind)] == 0 else "m"
    design = next(
        d for d in (draw_design(random, sex, 0, draw_taste(random), 0.0) for _ in range(1000)) if d.kind == kind
    )
    drawn = draw_shoe(design, draw_scene(random), draw_placement(random), left=left)
    assert drawn.picture.shape == (224, 224, 3) and drawn.picture.dtype == np.uint8
    assert drawn.picture.std() > 10
    assert drawn.mask.shape == (224, 224) and 0.05 < (drawn.mask > 127).mean() < 0.7


def test_where_the_mask_is_empty_only_floor_is_seen() -> None:
    """Of two designs in one place, the pictures differ where one of the masks is, and hardly elsewhere."""
    random = np.random.default_rng(3)
    scene = replace(draw_scene(random), light=0.0, noise=0.0, blur=0.0, quality=95)
    placement = replace(draw_placement(random), falloff=(0.0, 0.0))
    designs = (draw_design(random, "m", 0, draw_taste(random), 0.0) for _ in range(2))
    one, other = (draw_shoe(design, scene, placement, left=True) for design in designs)
    apart = np.abs(one.picture.astype(float) - other.picture).mean(-1)
    shoes = (one.mask > 0) | (other.mask > 0)
    assert apart[shoes].mean() > 20 and apart[~shoes].mean() < 0.2 * apart[shoes].mean()


def test_what_draw_writes_is_read_back_to_the_same_pairs_and_pixels(shoepair: Command) -> None:
    done = shoepair(
        "draw",
        "drawn",
        "--people",
        "3",
        "--test-people",
        "1",
        "--seed",
        "4",
        "--hardness",
        "0.3",
        "--size",
        "48",
        "--own-scenes",
        "0.5",
    )
    assert done.code == 0 and "shoepair train data=photos data.root=drawn" in done.out, done.err
    drawn = draw_shoes(num_people=3, num_test_people=1, image_size=48, seed=4, hardness=0.3, own_scenes=0.5)
    read = read_photos("drawn", 48)
    assert list(read) == list(drawn) == ["train", "test_m", "test_w"]
    for split in drawn:
        assert read[split].shoes == drawn[split].shoes
        assert torch.equal(read[split].images, drawn[split].images)
    assert {path.name for path in Path("drawn/train").iterdir()} >= {"u001_1_left_m.png", "u001_1_right_m.png"}
    with Image.open("drawn/sheet.png") as sheet:
        assert sheet.width > sheet.height and sheet.format == "PNG"


def test_draw_refuses_a_folder_with_photos(shoepair: Command) -> None:
    Path("drawn/test_m").mkdir(parents=True)
    Path("drawn/test_m/mine.jpg").touch()
    done = shoepair("draw", "drawn", "--people", "2")
    assert done.code == 2 and done.err == (
        "shoepair: drawn: there are photos in it already, such as drawn/test_m/mine.jpg; choose another folder.\n"
    )
    assert not Path("drawn/train").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--hardness=1.5", "--hardness=1.5: expected a number from 0 to 1."),
        ("--people=1", "--people=1: expected a whole number from 2 to 90,000."),
        ("--test-people=-1", "--test-people=-1: expected a whole number from 0 to 90,000."),
        ("--size=0", "--size=0: expected a whole number from 1 to 4,096."),
        ("--sheet=sheet.gif", "--sheet=sheet.gif: expected a name that ends in .png or .jpg."),
    ],
)
def test_a_mistyped_option_of_draw_is_one_line(shoepair: Command, typed: str, message: str) -> None:
    done = shoepair("draw", "drawn", typed)
    assert (done.code, done.err) == (2, f"shoepair: {message}\n")
    assert not Path("drawn").exists()


def test_draw_says_when_it_cannot_write(shoepair: Command) -> None:
    Path("file").touch()
    done = shoepair("draw", "file", "--people", "2")
    assert done.code == 2 and "file: expected a folder" in done.err
