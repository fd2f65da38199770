"""Drawing on several cores."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

DRAWS = """
import os, time
from shoepair.data.synthetic import collection

def draw(subject):
    time.sleep(0.01)
    return os.getpid()

collection._num_cores = lambda: 3
drawn = collection.on_all_cores(draw, range(100_000))
print(*{next(drawn) for _ in range(200)}, flush=True)
list(drawn)
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="draws in one process")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_that_draw_end_with_the_one_that_asked(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", DRAWS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) > 1 and all(map(alive, workers))
        parent.send_signal(how)
        parent.wait(30)
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [worker for worker in workers if alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
