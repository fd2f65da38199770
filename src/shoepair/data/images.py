"""Sizes of images. With pillow alone."""

from PIL import Image


def size_within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height scaled so that the longer one is `side`; of a long strip, the shorter one is still a pixel."""
    longest = max(size)
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def scaled_to_fit(image: Image.Image, side: int) -> Image.Image:
    """The image, smaller or larger, so that its longer side is `side`."""
    return image.resize(size_within(image.size, side), Image.Resampling.BICUBIC)
