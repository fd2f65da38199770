import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shoepair.data.cache import cached_images
from shoepair.data.photos import read_photos
from shoepair.data.synthetic.collection import draw_shoes
from shoepair.errors import UserError
from shoepair.files import digest


def numbered(images: np.ndarray) -> dict[str, Any]:
    images[:] = np.arange(len(images), dtype=np.uint8)[:, None, None, None]
    return {"made_by": os.getpid()}


def never(images: np.ndarray) -> dict[str, Any]:
    raise AssertionError("this should have come from the cache")


def test_images_are_made_once(tmp_path: Path) -> None:
    first, _ = cached_images(tmp_path, "key", 5, 4, numbered)
    again, record = cached_images(tmp_path, "key", 5, 4, never)
    assert torch.equal(first, again) and again[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert record["made_by"] == os.getpid()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.lock", "key.nhwc3.json", "key.nhwc3.npy"]


def test_images_are_in_the_memory_format_of_fast_convolutions(tmp_path: Path) -> None:
    images, _ = cached_images(tmp_path, "key", 5, 4, numbered)
    assert images.shape == (5, 3, 4, 4) and images.is_contiguous(memory_format=torch.channels_last)
    assert images[torch.tensor([3, 1])].is_contiguous(memory_format=torch.channels_last)


def test_writing_to_the_images_does_not_change_the_cache(tmp_path: Path) -> None:
    images, _ = cached_images(tmp_path, "key", 2, 4, numbered)
    images[1] = 99
    assert cached_images(tmp_path, "key", 2, 4, never)[0].max() == 1


def test_rows_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    images, _ = cached_images(tmp_path, "key", 6, 4, lambda images: numbered(images) | {"kept": [1, 2, 5]})
    assert images[:, 0, 0, 0].tolist() == [1, 2, 5]


@pytest.mark.parametrize("kept", [[], [1], [1, 2, 5], list(range(3, 1000)), list(range(1234))])
def test_the_file_is_one_that_numpy_reads_however_many_rows_are_kept(tmp_path: Path, kept: list[int]) -> None:
    def fill(images: np.ndarray) -> dict[str, Any]:
        images[:] = np.random.default_rng(0).integers(0, 256, images.shape)
        return {"kept": kept}

    whole = np.random.default_rng(0).integers(0, 256, (1234, 3, 4, 4))
    images, record = cached_images(tmp_path, "key", 1234, 4, fill)
    (path,) = tmp_path.glob("*.npy")
    stored = np.load(path)
    assert stored.dtype == np.uint8 and np.array_equal(stored.transpose(0, 3, 1, 2), whole[kept])
    assert np.array_equal(images.numpy(), whole[kept]) and images.shape == (len(kept), 3, 4, 4)
    assert path.stat().st_size == 128 + stored.nbytes and record == {}


def test_a_cache_of_the_earlier_layout_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "key.nhwc.bin").write_bytes(bytes(5 * 48))
    (tmp_path / "key.nhwc.json").write_text('{"shape": [5, 4, 4, 3]}')
    images, record = cached_images(tmp_path, "key", 5, 4, numbered)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4] and "made_by" in record


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve space")
def test_the_space_is_taken_before_the_first_image_is_made(tmp_path: Path) -> None:
    def fill(images: np.ndarray) -> dict[str, Any]:
        (partial,) = tmp_path.glob(".*.partial")
        stat = partial.stat()
        assert stat.st_blocks * 512 >= stat.st_size >= images.nbytes  # a file with holes has fewer blocks
        return numbered(images)

    cached_images(tmp_path, "key", 10, 64, fill)


def test_a_failed_filling_leaves_nothing_that_counts(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        cached_images(tmp_path, "key", 2, 4, never)
    assert cached_images(tmp_path, "key", 2, 4, numbered)[0].shape == (2, 3, 4, 4)


def slowly(images: np.ndarray) -> dict[str, Any]:
    time.sleep(0.3)
    return numbered(images)


def who_made_it(folder: Path) -> int:
    return int(cached_images(folder, "key", 5, 4, slowly)[1]["made_by"])


def test_of_several_processes_that_start_together_one_makes_the_images(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        makers = pool.map(who_made_it, [tmp_path] * 4, chunksize=1)
    assert len(set(makers)) == 1


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"data\.cache_dir=.*No space left on device; it needs 1 MB"):
        cached_images(tmp_path, "key", 100, 64, numbered)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data\.cache_dir="):
        cached_images(tmp_path / "file" / "cache", "key", 1, 4, numbered)


def test_keys_tell_parts_apart() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])


def test_a_changed_photo_is_read_again(drawn_photos: Path, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(drawn_photos, tmp_path / "photos"))
    before = read_photos(photos, 64, tmp_path / "cache")["train"]
    one, other = sorted((photos / "train").iterdir())[:2]
    stamp = one.stat()
    one.write_bytes(other.read_bytes())
    os.utime(one, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    after = read_photos(photos, 64, tmp_path / "cache")["train"]
    assert torch.equal(after.images[0], before.images[1]) and not torch.equal(before.images[0], before.images[1])


def test_what_was_left_out_is_said_again_from_the_cache(
    drawn_photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = Path(shutil.copytree(drawn_photos, tmp_path / "photos"))
    broken = sorted((photos / "train").iterdir())[0]
    broken.write_bytes(b"broken")
    for _ in range(2):
        caplog.clear()
        read_photos(photos, 64, tmp_path / "cache")
        assert str(broken) in caplog.text and "the other shoe of this pair is missing" in caplog.text


def test_nobody_is_drawn_into_two_sets_however_large_they_are(tmp_path: Path) -> None:
    few = draw_shoes(num_people=2, num_test_people=2, image_size=16, seed=0, hardness=0.5, cache_dir=tmp_path)
    many = draw_shoes(num_people=5, num_test_people=2, image_size=16, seed=0, hardness=0.5, cache_dir=tmp_path)
    assert not set(many["train"].people) & {*few["test_m"].people, *few["test_w"].people}
    assert torch.equal(few["test_m"].images, many["test_m"].images)


def test_a_drawn_shoe_is_the_same_whatever_else_is_drawn(tmp_path: Path) -> None:
    few = draw_shoes(num_people=2, num_test_people=0, image_size=32, seed=5, hardness=0.5, cache_dir=tmp_path)["train"]
    many = draw_shoes(num_people=12, num_test_people=1, image_size=32, seed=5, hardness=0.5, cache_dir=tmp_path)[
        "train"
    ]
    assert torch.equal(few.images, many.images[: len(few.images)])
    other = draw_shoes(num_people=2, num_test_people=0, image_size=32, seed=6, hardness=0.5, cache_dir=tmp_path)[
        "train"
    ]
    assert not torch.equal(few.images, other.images)


@pytest.mark.parametrize("ending", ["npy", "json"])
@pytest.mark.parametrize("damage", ["empty", "half", "other", "another object", "other pixels", "removed"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, ending: str, damage: str) -> None:
    cached_images(tmp_path, "key", 100, 4, numbered)
    (path,) = tmp_path.glob(f"*.{ending}")
    whole = path.read_bytes()
    path.unlink()
    if damage != "removed":
        broken = {"empty": b"", "half": whole[: len(whole) // 2], "other": b"\x93NUMPY\x80" + b"{" * 300,
                  "another object": b"[1]", "other pixels": whole[:-3000] + whole[-3000:].swapcase()[::-1]}  # fmt: skip
        path.write_bytes(broken[damage])
    images, record = cached_images(tmp_path, "key", 100, 4, numbered)
    assert images[:, 0, 0, 0].tolist() == list(range(100)) and record == {"made_by": os.getpid()}
    assert torch.equal(cached_images(tmp_path, "key", 100, 4, never)[0], images)


def test_a_folder_in_the_place_of_a_cache_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "key.nhwc3.npy").mkdir()
    with pytest.raises(UserError, match=r"data\.cache_dir=.*Is a directory"):
        cached_images(tmp_path, "key", 5, 4, numbered)
