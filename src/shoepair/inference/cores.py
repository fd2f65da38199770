"""Work on batches by all cores, each batch by one: small networks leave cores idle that share a batch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Found = TypeVar("Found")


def one_core_each(function: Callable[[Batch], Found], batches: Iterable[Batch]) -> Iterator[Found]:
    """What `function`, which torch or pillow spend most of the time of, gives for each batch, in their order."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(num_threads) as pool:
            ahead: deque[Future[Found]] = deque()
            for batch in batches:
                ahead.append(pool.submit(function, batch))
                if len(ahead) > num_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
    finally:
        torch.set_num_threads(num_threads)
