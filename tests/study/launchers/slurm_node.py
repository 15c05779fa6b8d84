"""A SLURM cluster of one node on this machine, with daemons of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.polling import PATIENCE

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
SETTINGS = """
ClusterName=explorer
SlurmctldHost={host}(127.0.0.1)
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmdParameters=config_overrides
KillWait=110
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=2,batch_sched_delay=1,requeue_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmNode:
    """A running cluster. Skips the test if SLURM is not installed, or if this user may not start it.

    Attributes:
        environment: Environment variables with which commands use the cluster.
    """

    def __init__(self) -> None:
        missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
        if missing or os.getuid() != 0:
            pytest.skip(f"SLURM cannot be started: {', '.join(missing) or 'only root can start its daemons'}")
        self.folder = Path(tempfile.mkdtemp(prefix="explorer-slurm-"))
        self.folder.chmod(0o755)
        self._daemons: list[subprocess.Popen[bytes]] = []
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        config = self.folder / "slurm.conf"
        config.write_text(SETTINGS.format(folder=self.folder, host=socket.gethostname(), ports=_free_ports(2)))
        for name in ("spool", "state"):
            (self.folder / name).mkdir()
        self.environment = {"SLURM_CONF": str(config), "PATH": PATH}
        try:
            places = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
            options = [f"--{option}={self.folder}/munge.{end}" for option, end in places.items()]
            self._start("munged", "--foreground", "--force", f"--key-file={key}", *options)
            self._wait(lambda: (self.folder / "munge.socket").exists())
            self._start("slurmctld", "-D", "-i")
            self._start("slurmd", "-D")
            self._wait(lambda: self.run("sinfo", "--noheader", "--format=%T") == "idle")
        except BaseException:
            self.remove()
            raise

    def run(self, *command: str) -> str:
        """Run a command of SLURM; return its output."""
        found = subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True)
        return found.stdout.strip()

    def remove(self) -> None:
        """End all jobs and daemons."""
        if len(self._daemons) == 3:
            self.run("scancel", "--user=root", "--signal=KILL", "--full")
            self.run("scancel", "--user=root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, **self.environment}
        with open(self.folder / f"{program}.out", "wb") as out:
            command = [shutil.which(program, path=PATH), *arguments]
            self._daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))

    def _wait(self, condition) -> None:
        """Wait until a condition holds; skip the test if a daemon ends or does not answer."""
        end = time.monotonic() + PATIENCE
        while not condition():
            ended = [daemon.args[0] for daemon in self._daemons if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                words = [line for file in self.folder.glob("*.log") for line in file.read_text().splitlines()[-3:]]
                pytest.skip(f"SLURM does not start here: {ended}: {'; '.join(words)[:600]}")
            time.sleep(0.2)


def _free_ports(number: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
