"""Collections of drawn shoes: who has which pairs, on which floor. Each shoe depends on its own name and seed only."""

import multiprocessing
import os
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from shoepair.data.cache import cached_images
from shoepair.data.layout import LEFT, RIGHT
from shoepair.data.shoes import Shoe, ShoeSet
from shoepair.data.synthetic import designs, floors, geometry, render, textures
from shoepair.data.synthetic.designs import (
    Design,
    draw_any_scene,
    draw_design,
    draw_own_scene,
    draw_placement,
    draw_scene,
    draw_taste,
)
from shoepair.data.synthetic.render import DrawnShoe, draw_shoe
from shoepair.files import digest

Subject = TypeVar("Subject")
Drawn = TypeVar("Drawn")

PAIRS_PER_PERSON = 3
SHOES_PER_PERSON = 2 * PAIRS_PER_PERSON


def draw_shoes(
    *,
    num_people: int,
    num_test_people: int,
    image_size: int,
    seed: int,
    hardness: float,
    own_scenes: float = 0.0,
    cache_dir: str | Path | None = None,
) -> dict[str, ShoeSet]:
    """Draw three collections: "train", and if num_test_people is not 0 "test_m" and "test_w".

    The test sets hold men's and women's shoes only; in "train", every pair is one or the other.

    Args:
        image_size: side of the square images, in pixels.
        seed: decides every design and scene.
        hardness: from 0 to 1, how often a person's pairs share their colours; see draw_design.
        own_scenes: from 0 to 1, how often a shoe lies on a floor of its own, in its own light; else all shoes of a
            person share one scene.
        cache_dir: where drawn shoes are kept; None for the default folder.
    """
    sizes = {"train": num_people, "test_m": num_test_people, "test_w": num_test_people}
    sets = {}
    for split, size in sizes.items():
        shoes = [shoe for person in names_of_people(split, size) for shoe in shoes_of(person, split, seed)]
        if shoes:
            sets[split] = ShoeSet(draw_all(shoes, image_size, seed, hardness, own_scenes, cache_dir), tuple(shoes))
    return sets


def names_of_people(split: str, num_people: int) -> list[str]:
    """The people of a split. A person's number decides what is drawn: nobody may stand in two, however large another
    one is."""
    first = {"train": 1, "test_m": 100_001, "test_w": 200_001}[split]
    return [f"u{number:03d}" for number in range(first, first + num_people)]


def shoes_of(person: str, split: str, seed: int) -> list[Shoe]:
    """The three pairs of one person."""
    random = _random(seed, person)
    shoes = []
    for pair in range(1, PAIRS_PER_PERSON + 1):
        kind = {"test_m": "m", "test_w": "w"}.get(split) or ("m" if random.random() < 0.75 else "w")
        shoes += [Shoe(person, str(pair), side, kind, f"{person}_{pair}_{side}_{kind}") for side in (LEFT, RIGHT)]
    return shoes


def design_of(shoe: Shoe, seed: int, hardness: float) -> Design:
    """The design of the pair that a shoe belongs to."""
    taste = draw_taste(_random(seed, shoe.person, "taste"))
    return draw_design(_random(seed, shoe.person, shoe.pair), shoe.kind, int(shoe.pair) - 1, taste, hardness)


def draw_one(shoe: Shoe, image_size: int, seed: int, hardness: float, own_scenes: float = 0.0) -> np.ndarray:
    """(3, image_size, image_size) uint8: the same whatever else is drawn."""
    own = _random(seed, shoe.person, shoe.pair, shoe.side, "scene")
    shared = own.random() >= own_scenes
    pixels = draw_shoe(
        design_of(shoe, seed, hardness),
        draw_scene(_random(seed, shoe.person, "scene")) if shared else draw_own_scene(own),
        draw_placement(_random(seed, shoe.person, shoe.pair, shoe.side)),
        left=shoe.side == LEFT,
    ).picture
    image = Image.fromarray(pixels)
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def draw_anyhow(number: int, seed: int, hardness: float) -> DrawnShoe:
    """One of an endless row of shoes, each on a floor of its own and seen from anywhere; for learning masks."""
    person = f"u{300_000 + number}"
    random = _random(seed, person, "anyhow")
    shoe = shoes_of(person, "train", seed)[int(random.integers(SHOES_PER_PERSON))]
    scene = draw_any_scene(random)
    shift = (random.uniform(-0.08, 0.08), random.uniform(-0.08, 0.08))
    falloff = (random.uniform(-0.4, 0.4), random.uniform(-0.4, 0.4))
    placement = replace(draw_placement(random), shift=shift, falloff=falloff)
    return draw_shoe(design_of(shoe, seed, hardness), scene, placement, left=shoe.side == LEFT)


def draw_all(
    shoes: Sequence[Shoe],
    image_size: int,
    seed: int,
    hardness: float,
    own_scenes: float = 0.0,
    cache_dir: str | Path | None = None,
) -> torch.Tensor:
    """(len(shoes), 3, image_size, image_size) uint8, from the cache or drawn on all cores."""

    def fill(images: np.ndarray) -> dict[str, Any]:
        draw = partial(
            draw_one, image_size=image_size, seed=seed, hardness=float(hardness), own_scenes=float(own_scenes)
        )
        for i, image in enumerate(on_all_cores(draw, shoes)):
            images[i] = image
        return {}

    modules = (designs.__file__, geometry.__file__, textures.__file__, floors.__file__, render.__file__, __file__)
    source = [Path(module).read_bytes() for module in modules]
    settings = [str(image_size), str(seed), repr(float(hardness)), repr(float(own_scenes))]
    key = "drawn-" + digest([*source, *settings, *(shoe.name for shoe in shoes)])
    return cached_images(cache_dir, key, len(shoes), image_size, fill)[0]


def on_all_cores(draw: Callable[[Subject], Drawn], subjects: Sequence[Subject]) -> Iterator[Drawn]:
    """What is drawn of each, in their order."""
    num_processes = min(_num_cores(), len(subjects) // 24)
    if num_processes > 1 and "fork" in multiprocessing.get_all_start_methods():
        # Forked processes need not import torch again, which would take longer than the drawing.
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(num_processes, fork, _serve_parent) as pool:
            yield from pool.map(draw, subjects, chunksize=2 * SHOES_PER_PERSON)
    else:
        yield from map(draw, subjects)


def _serve_parent() -> None:
    """In a process that draws: Ctrl-C reaches it as well, but it is for the parent to end it; and it ends with the
    parent, even one that was killed. By itself it would wait for more to draw as long as the machine runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _random(seed: int, *words: str) -> np.random.Generator:
    """Numbers that depend on the seed and the words only, not on what was drawn before."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])
