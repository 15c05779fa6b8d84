"""A supervisor ends every process of its trial."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.polling import PATIENCE, wait_until

SUPERVISED = """
import os, subprocess
from multiprocessing import Pipe
from explorer.system import process_tree

scan, scans = process_tree._descendants, []
def missing(root):
    scans.append(root)
    return scan(root) if len(scans) > 2 else {}
process_tree._descendants = missing

os.setsid()
reading, writing = Pipe(duplex=False)
process_tree.supervise(reading)
print(subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL).pid, flush=True)
os._exit(7)
"""


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_scans_miss_ends_with_its_trial():
    """A scan of the processes can miss one whose parent ends meanwhile; the supervisor does not leave before it."""
    done = subprocess.run([sys.executable, "-c", SUPERVISED], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 7, done.stderr
    wait_until(lambda: not lives(int(done.stdout)))
