"""Run as a script: a Ray cluster of two node processes on loopback, until standard input is closed.

It prints its address, then the process id of each node.
"""

from __future__ import annotations

import sys

CPUS = 2  # of each node


def main() -> None:
    """Start the nodes, wait and stop them."""
    from ray.cluster_utils import Cluster

    loopback = {"node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**loopback, "num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=CPUS, **loopback) for _ in range(2)]
    pids = [each.process.pid for node in nodes for each in node.all_processes["raylet"]]
    print("cluster", cluster.address, *pids, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
