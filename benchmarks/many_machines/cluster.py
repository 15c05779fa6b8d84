"""A Ray cluster of node processes on loopback. Run as a script it lives until its standard input is closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

# Without it Ray replaces 127.0.0.1 by the address of this machine, where the nodes do not listen.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


class Nodes(NamedTuple):
    """A running cluster.

    Attributes:
        address: Its address.
        pids: The process of each node but the first, which runs no trials.
    """

    address: str
    pids: list[int]


@contextmanager
def ray_nodes(nodes: int, cpus: int) -> Iterator[Nodes]:
    """Start a cluster; stop it at the end.

    Args:
        nodes: Number of nodes.
        cpus: Cores that each node has in Ray's books, whatever the machine has.
    """
    os.environ[LOOPBACK] = "0"  # of this process and of the searches that it starts
    command = [sys.executable, __file__, str(nodes), str(cpus)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("cluster ")), "")
        if not line:
            raise SystemExit("the Ray cluster did not start")
        _, address, *pids = line.split()
        yield Nodes(address, [int(pid) for pid in pids])
    finally:
        process.stdin.close()
        process.wait()


def main() -> None:
    from ray.cluster_utils import Cluster

    loopback = {"node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**loopback, "num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=int(sys.argv[2]), **loopback) for _ in range(int(sys.argv[1]))]
    pids = [each.process.pid for node in nodes for each in node.all_processes["raylet"]]
    print("cluster", cluster.address, *pids, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
