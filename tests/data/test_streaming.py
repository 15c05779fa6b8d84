"""Data sets larger than memory are streamed from disk and train bit-identically."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from explorer.data import streaming
from explorer.data.dataset import load_data
from explorer.data.streaming import ImagesOnDisk, StreamedPixels, fits_in_memory
from explorer.errors import DataError
from explorer.networks.ops.base import TensorShape
from explorer.system.cores import usable_cores
from explorer.system.memory import total_memory
from explorer.training.batches import Images
from explorer.training.loop import evaluate_network, train_network
from explorer.training.recipe import recipe
from tests.data.layouts import class_folders, encoded
from tests.system.control_groups import group_tree
from tests.training.small_network import small_network

CPU = torch.device("cpu")


@pytest.fixture
def nothing_fits(monkeypatch):
    """Make the machine appear to have almost no memory."""
    monkeypatch.setattr(streaming, "MEMORY_SHARE", 0)
    monkeypatch.setattr(streaming, "MIN_MEMORY_BYTES", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two hundred images of four classes in three sizes."""
    folder = tmp_path_factory.mktemp("data") / "mine"
    class_folders(folder, classes=4)
    random = np.random.RandomState(0)
    for path in (folder / "train").rglob("*.png"):
        if random.randint(2):
            path.write_bytes(encoded(random.randint(0, 256, (3, 40, 24 + random.randint(9))).astype(np.uint8)))
    return folder


def loaded(folder):
    return load_data(f"{folder}@16")


def test_only_large_data_are_streamed(folder, monkeypatch):
    """The limit is a share of memory per core, and at least one gigabyte."""
    assert isinstance(loaded(folder).train.images, np.ndarray)
    assert fits_in_memory(60_000, TensorShape(3, 32, 32))
    assert not fits_in_memory(2 * total_memory() // (3 * 224 * 224), TensorShape(3, 224, 224))
    monkeypatch.setattr(streaming, "total_memory", lambda: 2**20)
    assert fits_in_memory(2**30 // (3 * 64 * 64), TensorShape(3, 64, 64))
    assert not fits_in_memory(2**30 // (3 * 64 * 64) + 1, TensorShape(3, 64, 64))


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_streams_by_its_own_limits(monkeypatch, tmp_path, version):
    """The limit comes from the container's memory and cores: a quarter of 64 GiB over 4 cores is 4 GiB per core."""
    files, own = {
        1: (
            {
                "memory/a/memory.limit_in_bytes": str(64 << 30),
                "cpu/a/cpu.cfs_quota_us": "400000",
                "cpu/a/cpu.cfs_period_us": "100000",
            },
            "4:memory:/a\n3:cpu,cpuacct:/a\n",
        ),
        2: ({"a/memory.max": str(64 << 30), "a/b/cpu.max": "400000 100000"}, "0::/a/b\n"),
    }[version]
    groups, own_file = group_tree(tmp_path, own, files)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=1 << 40, available=1 << 40))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(streaming, "total_memory", lambda: total_memory(groups, own_file))
    monkeypatch.setattr(streaming, "usable_cores", lambda: usable_cores(groups, own_file))
    shape = TensorShape(4, 512, 512)  # 1 MiB per image
    assert fits_in_memory(4 << 10, shape)
    assert not fits_in_memory((4 << 10) + 1, shape)


def test_streamed_data_equal_data_in_memory(folder, nothing_fits):
    """Streamed data have the same labels, images, classes and sizes, and mean and std are estimated from a sample."""
    streamed = loaded(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "MIN_MEMORY_BYTES", 2**30)
        held = loaded(folder)
    for name in ("train", "validation", "test"):
        assert isinstance(streamed.split(name).images, ImagesOnDisk)
        assert np.array_equal(streamed.split(name).labels, held.split(name).labels)
        assert np.array_equal(np.asarray(streamed.split(name).images), held.split(name).images)
        assert streamed.split(name).images.shape == held.split(name).images.shape
    assert (streamed.mean, streamed.std) == (held.mean, held.std)
    assert streamed.fingerprint == loaded(folder).fingerprint


def test_streaming_trains_bit_identically(folder, nothing_fits):
    """Two epochs with crops and flips, and the test, give the same metrics streamed as in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "MIN_MEMORY_BYTES", 2**30)
        held = replace(loaded(folder), flip=True)
    streamed = replace(loaded(folder), flip=True)
    figures = []
    for data in (held, streamed):
        net = small_network(channels=3, classes=4)
        result = train_network(net, data, recipe("quick_small"), epochs=2, seed=0, precision="float32")
        test = evaluate_network(net, data, "test")
        figures.append(([(epoch.train_loss, epoch.val_loss) for epoch in result.curve], test))
    assert figures[0] == figures[1]
    assert not multiprocessing.active_children()


def test_batches_are_in_order(folder, nothing_fits):
    """Prefetched and unexpected batches equal those of the tensor, and the last may be smaller."""
    data = loaded(folder)
    whole = torch.from_numpy(np.asarray(data.train.images))
    pixels = Images(data.train, data, CPU).pixels
    assert isinstance(pixels, StreamedPixels)
    assert torch.equal(torch.cat(list(pixels.split(7))), whole)
    batches = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0)).split(5)
    pixels.prefetch(batches)
    assert torch.equal(pixels[batches[0]], whole[batches[0]])
    assert torch.equal(pixels[batches[1]], whole[batches[1]])
    assert torch.equal(pixels[batches[0]], whole[batches[0]])  # not the next batch
    assert torch.equal(pixels[batches[2]], whole[batches[2]])


def test_an_image_that_cannot_be_decoded(tmp_path, nothing_fits):
    """An undecodable image gives one line, as in memory, also if another process decodes it."""
    class_folders(tmp_path / "mine", classes=2)
    path = tmp_path / "mine" / "train" / "class01" / "0003.png"
    data = load_data("mine", tmp_path)
    path.write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        list(Images(data.train, data, CPU).in_order(4))
        list(Images(data.validation, data, CPU).in_order(4))
    assert str(caught.value).startswith(f"{path}: the image cannot be decoded")
    assert "\n" not in str(caught.value)
