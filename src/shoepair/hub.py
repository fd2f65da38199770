"""The Hugging Face hub, from which timm's weights come: its client would try for a minute where it does not answer."""

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator

SECONDS = 2.0  # in which it is to say anything


def address() -> str:
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def answers() -> bool:
    """Whether it, or the proxy on the way to it, says anything."""
    try:
        urllib.request.urlopen(urllib.request.Request(address(), method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError:  # it has said something
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def is_kept(repository: str, file: str) -> bool:
    """Whether a file of it was downloaded before. Raises ImportError where its client is not installed."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, file), str)


@contextlib.contextmanager
def without_waiting() -> Iterator[None]:
    """Where it does not answer, its client takes what was downloaded before, or gives up, at once."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
