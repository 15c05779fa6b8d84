"""Folders of class folders: files, links, and images that are damaged."""

from __future__ import annotations

import os

import pytest

from explorer.data.dataset import load_data
from explorer.data.decoding import DamagedImages
from explorer.errors import DataError
from tests.data.formats.reading import conversions


class TestFiles:
    def test_other_files_are_left_out_with_a_note(self, mine):
        """Other files are counted and the first is named, and hidden files are ignored."""
        for name in ("readme.txt", "Thumbs.db", ".hidden.png"):
            (mine / "train" / "class01" / name).write_bytes(b"no image")
        (mine / "train" / ".git").mkdir()
        (mine / "train" / "list.csv").write_text("beside the classes")
        data = load_data(str(mine))
        assert len(data.train) + len(data.validation) == 30
        (note,) = conversions(data)
        assert note.startswith("2 files were left out because their names are not those of images; the first is ")
        assert note.endswith("Thumbs.db")

    @pytest.mark.parametrize("content", [b"", b"no image", "cut"])
    def test_an_invalid_image_is_named(self, mine, content):
        """A file with an image suffix that is no image is rejected by name."""
        path = mine / "train" / "class01" / "0001.png"
        path.write_bytes(path.read_bytes()[:-300] if content == "cut" else content)
        with pytest.raises(DataError, match=r"train/class01/0001\.png: the image (is empty|cannot be)"):
            load_data(str(mine))

    def test_subfolders_of_a_class_belong_to_the_class(self, mine):
        """Images may be in subfolders, as in Tiny ImageNet's train/CLASS/images."""
        whole = load_data(str(mine))
        for name in ("class00", "class01", "class02"):
            images = mine / "train" / name / "images"
            images.mkdir()
            for path in (mine / "train" / name).glob("*.png"):
                path.rename(images / path.name)
        assert load_data(str(mine)).fingerprint == whole.fingerprint

    def test_links(self, mine, tmp_path):
        """Links to images and folders are followed, a link to a parent folder ends, and a broken link is named."""
        whole = load_data(str(mine))
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "test").symlink_to(mine / "test")
        for name in ("class00", "class01", "class02"):
            (tmp_path / "linked" / "train" / name).mkdir(parents=True)
            for path in (mine / "train" / name).iterdir():
                (tmp_path / "linked" / "train" / name / path.name).symlink_to(path)
        (tmp_path / "linked" / "train" / "class01" / "up").symlink_to(tmp_path / "linked" / "train" / "class01")
        assert load_data("linked", tmp_path).fingerprint["sha256"] == whole.fingerprint["sha256"]
        (tmp_path / "linked" / "train" / "class01" / "gone.png").symlink_to(tmp_path / "nowhere")
        with pytest.raises(DataError, match=r"class01/gone\.png: a broken link"):
            load_data("linked", tmp_path)

    def test_a_pipe_is_rejected(self, mine):
        """A file that is not a regular file is rejected without being read."""
        os.mkfifo(mine / "train" / "class01" / "pipe.png")
        with pytest.raises(DataError, match=r"pipe\.png: not a regular file"):
            load_data(str(mine))

    def test_nothing_is_written_beside_the_images(self, mine):
        """A read-only folder works, because decoded images are stored elsewhere."""
        before = sorted(mine.rglob("*"))
        for path in (mine, *mine.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            load_data(str(mine))
        finally:
            for path in (mine, *mine.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        assert sorted(mine.rglob("*")) == before


class TestDamaged:
    @pytest.fixture
    def damaged(self, mine):
        """Thirty training images of which twelve are empty files."""
        for path in sorted(mine.glob("train/*/*.png"))[1::2][:12]:
            path.write_bytes(b"")
        return mine

    def test_all_damaged_images_are_counted(self, damaged):
        """One run counts all damaged images, names ten and lists all in a file."""
        with pytest.raises(DamagedImages) as caught:
            load_data(str(damaged))
        assert len(caught.value.images) == 12
        message = str(caught.value)
        assert message.startswith("12 of 30 images are damaged; replace or remove, or leave out with --skip")
        assert message.count("the image is empty") == 10 and message.endswith("; and 2 more")

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_damaged_images_are_skipped_and_counted(self, damaged, monkeypatch, in_memory):
        """The other images are used, and a note and the fingerprint count the skipped ones, also from the cache."""
        monkeypatch.setattr("explorer.data.formats.folders.fits_in_memory", lambda count, shape: in_memory)
        for _ in range(2):  # the second time from the cache
            data = load_data(str(damaged), skip_damaged=True)
            assert len(data.train) + len(data.validation) == 18
            assert data.fingerprint["damaged"] == 12
            assert "12 of 30 images are damaged and were left out" in " ".join(data.notes)

    def test_an_undamaged_folder_has_the_same_fingerprint_with_the_flag(self, mine):
        """The flag does not change the fingerprint of an undamaged folder, so a study resumes with or without it."""
        assert load_data(str(mine), skip_damaged=True).fingerprint == load_data(str(mine)).fingerprint


class TestLinks:
    def test_double_links_are_listed_once(self, mine):
        """Twenty nested folders, each with two links to the next, are listed in linear time."""
        folder = mine / "train" / "class00"
        for i in range(20):
            inner = mine / f".level{i}"
            inner.mkdir()
            for twin in "ab":
                (folder / twin).symlink_to(inner)
            folder = inner
        (folder / "deep.png").write_bytes((mine / "train" / "class00" / "0000.png").read_bytes())
        data = load_data(str(mine))
        assert len(data.train) + len(data.validation) == 31

    @pytest.mark.parametrize("target", ["/", "/proc", ".."])
    def test_a_link_out_of_the_data_set_is_rejected(self, mine, target):
        """A link to a parent of the class folder or to a system folder gives one line that names it."""
        (mine / "train" / "class00" / "up").symlink_to(target)
        with pytest.raises(DataError, match=r"class00/up/?: a link to .*, which is not a folder of images; remove it"):
            load_data(str(mine))

    def test_a_name_with_control_characters_is_escaped(self, mine):
        """Control characters in a file name are escaped in the one line of a message."""
        (mine / "train" / "class00" / "a\x1b[31m\n.png").write_bytes(b"")
        with pytest.raises(DataError) as caught:
            load_data(str(mine))
        assert r"a\x1b[31m\n.png: the image is empty" in str(caught.value)
