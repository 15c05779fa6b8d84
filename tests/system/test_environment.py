"""The environment of a measurement: device, machine, versions and commit."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict

import pytest
import torch

from explorer.errors import MeasurementError
from explorer.records import environment_from_json
from explorer.system import environment
from explorer.system.environment import describe_environment, device_name, find_device


def test_describes_this_process():
    """Device, threads and versions are those of this process, and survive conversion to JSON."""
    found = describe_environment("cpu", threads=3)
    assert (found.device, found.threads, found.python) == ("cpu", 3, platform.python_version())
    assert found.device_name
    assert found.versions["torch"] == torch.__version__
    assert environment_from_json(json.dumps(asdict(found))) == found


def test_threads_are_torchs_by_default():
    """Without a given number of threads it is torch's own."""
    assert describe_environment().threads == torch.get_num_threads()


def test_equal_environments_have_equal_digests():
    """The same process has the same digest, and another number of threads gives another environment."""
    assert describe_environment(threads=1).digest == describe_environment(threads=1).digest
    assert describe_environment(threads=1).digest != describe_environment(threads=2).digest


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\n", "AMD EPYC 9R14"),
        ("processor\t: 0\nBogoMIPS\t: 108.00\nModel\t\t: Raspberry Pi 4 Model B\n", "Raspberry Pi 4 Model B"),
    ],
)
def test_cpu_name_from_linux(text, name, tmp_path):
    """The model's name is read from /proc/cpuinfo, for x86 and ARM."""
    (tmp_path / "cpuinfo").write_text(text)
    assert environment._cpu_name(tmp_path / "cpuinfo") == name


def test_cpu_name_elsewhere(tmp_path):
    """Without that file or a model in it, a name is still returned."""
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert environment._cpu_name(tmp_path / "cpuinfo") == environment._cpu_name(tmp_path / "none") != ""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n", "550.54.15"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n", "570.86.15"),
    ],
)
def test_driver_version(text, version, tmp_path):
    """Both forms of the driver's file are read; a driver without a version is unknown, and without the file there is
    none."""
    (tmp_path / "version").write_text(text)
    assert environment.nvidia_driver(tmp_path / "version") == version
    (tmp_path / "version").write_text("another text")
    assert environment.nvidia_driver(tmp_path / "version") == "unknown"
    assert environment.nvidia_driver(tmp_path / "none") == ""


def test_the_identity_of_a_cpu_is_its_model_and_instruction_sets(tmp_path):
    """The identity changes with the flags of the first core, and not with the clock or other cores."""
    identities = []
    for flags, clock in (("avx2", "1000"), ("avx2", "2000"), ("avx2 amx_bf16", "1000")):
        (tmp_path / "cpuinfo").write_text(f"model name : A CPU\nflags : {flags}\ncpu MHz : {clock}\n\nflags : other\n")
        identities.append(environment.cpu_identity(tmp_path / "cpuinfo"))
    assert identities[0] == identities[1] != identities[2]
    assert environment.cpu_identity(tmp_path / "none") not in ("", *identities)


class TestDevices:
    def test_cpu(self):
        """The CPU is always available."""
        assert find_device("cpu") == "cpu"

    @pytest.mark.parametrize(
        ("count", "names"), [(0, {"auto": "cpu"}), (2, {"auto": "cuda:0", "cuda": "cuda:0", "cuda:1": "cuda:1"})]
    )
    def test_auto_takes_a_gpu_where_there_is_one(self, count, names, monkeypatch):
        """The device "auto" is the first GPU or the CPU, and available devices are accepted by name."""
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        assert {name: find_device(name) for name in names} == names

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("cuda:1", "no device 'cuda:1': 1 CUDA devices found; 'cpu' and 'auto' always work"),
            ("cuda:x", "unknown device 'cuda:x'"),
            ("cud", "unknown device 'cud'; known: auto, cpu, cuda, cuda:0, ...; did you mean 'cuda'"),
        ],
    )
    def test_no_such_device(self, name, message, monkeypatch):
        """An unavailable or invalid device is rejected everywhere."""
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        for ask in (find_device, device_name, describe_environment):
            with pytest.raises(MeasurementError) as caught:
                ask(name)
            assert message in str(caught.value)


class TestCommit:
    def git(self, folder, *words):
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def test_of_a_checkout(self, tmp_path):
        """The commit is the full hash, with -dirty if a file differs, and None before the first commit."""
        self.git(tmp_path, "init")
        assert environment._commit(tmp_path) == ""
        (tmp_path / "file").write_text("1")
        self.git(tmp_path, "add", "file")
        self.git(tmp_path, "commit", "-m", "first")
        commit = self.git(tmp_path, "rev-parse", "HEAD")
        assert environment._commit(tmp_path) == commit
        (tmp_path / "file").write_text("2")
        assert environment._commit(tmp_path) == f"{commit}-dirty"

    def test_not_of_a_repository_around_it(self, tmp_path):
        """An installed package below another repository has no commit."""
        self.git(tmp_path, "init")
        self.git(tmp_path, "commit", "--allow-empty", "-m", "theirs")
        (tmp_path / "site-packages").mkdir()
        assert environment._commit(tmp_path / "site-packages") == ""
