"""Collections of drawn shoes: who has which pairs, on which floor. Each shoe depends on its own name and seed only."""

import multiprocessing
import os
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from PIL import Image

from shoepair.data.designs import draw_design, draw_placement, draw_scene
from shoepair.data.drawing import draw_shoe
from shoepair.data.shoes import LEFT, RIGHT, Shoe, ShoeSet

PAIRS_PER_PERSON = 3


def draw_shoes(*, num_people: int, num_test_people: int, image_size: int, seed: int) -> dict[str, ShoeSet]:
    """Draw three collections: "train", and if num_test_people is not 0 "test_m" and "test_w".

    The test sets hold men's and women's shoes only; in "train", every pair is one or the other.

    Args:
        image_size: side of the square images, in pixels.
        seed: decides every design and scene.
    """
    names = {"train": [f"u{i:03d}" for i in range(1, num_people + 1)]}
    if num_test_people:
        names["test_m"] = [f"u{i:03d}" for i in range(num_people + 1, num_people + num_test_people + 1)]
        names["test_w"] = [
            f"u{i:03d}" for i in range(num_people + num_test_people + 1, num_people + 2 * num_test_people + 1)
        ]
    shoes = {
        split: [shoe for person in people for shoe in shoes_of(person, split, seed)] for split, people in names.items()
    }
    everything = [shoe for split in shoes.values() for shoe in split]
    images = draw_all(everything, image_size, seed)
    sets, start = {}, 0
    for split, of_split in shoes.items():
        sets[split] = ShoeSet(images[start : start + len(of_split)], tuple(of_split))
        start += len(of_split)
    return sets


def shoes_of(person: str, split: str, seed: int) -> list[Shoe]:
    """The three pairs of one person."""
    random = _random(seed, person)
    shoes = []
    for pair in range(1, PAIRS_PER_PERSON + 1):
        kind = {"test_m": "m", "test_w": "w"}.get(split) or ("m" if random.random() < 0.75 else "w")
        shoes += [Shoe(person, str(pair), side, kind, f"{person}_{pair}_{side}_{kind}") for side in (LEFT, RIGHT)]
    return shoes


def draw_one(shoe: Shoe, image_size: int, seed: int) -> np.ndarray:
    """(3, image_size, image_size) uint8: the same whatever else is drawn."""
    pixels = draw_shoe(
        draw_design(_random(seed, shoe.person, shoe.pair), shoe.kind),
        draw_scene(_random(seed, shoe.person, "scene")),
        draw_placement(_random(seed, shoe.person, shoe.pair, shoe.side)),
        left=shoe.side == LEFT,
    )
    image = Image.fromarray(pixels)
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def draw_all(shoes: list[Shoe], image_size: int, seed: int) -> torch.Tensor:
    """(len(shoes), 3, image_size, image_size) uint8, drawn by as many processes as there are cores."""
    draw = partial(draw_one, image_size=image_size, seed=seed)
    num_processes = min(len(os.sched_getaffinity(0)), len(shoes) // 60) if hasattr(os, "sched_getaffinity") else 1
    images = np.empty((len(shoes), 3, image_size, image_size), dtype=np.uint8)
    if num_processes > 1:
        # Forked processes need not import torch again, which would take longer than the drawing.
        with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("fork")) as pool:
            for i, image in enumerate(pool.map(draw, shoes, chunksize=20)):
                images[i] = image
    else:
        for i, shoe in enumerate(shoes):
            images[i] = draw(shoe)
    return torch.from_numpy(images)


def _random(seed: int, *words: str) -> np.random.Generator:
    """Numbers that depend on the seed and the words only, not on what was drawn before."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])
