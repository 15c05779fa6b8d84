"""C++ files are compiled once, and not at all where that is impossible."""

from __future__ import annotations

import logging
import shutil

import pytest

from explorer.system import native_code
from explorer.system.native_code import native_library

SOURCE = 'extern "C" int twice(int number) { return 2 * number; }\n'


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Each test has its own folder of libraries."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native_library.cache_clear()
    yield
    native_library.cache_clear()


def source(tmp_path, text: str = SOURCE):
    path = tmp_path / "twice.cpp"
    path.write_text(text)
    return path


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_is_compiled_once(monkeypatch, tmp_path):
    """The function works, later processes need no compiler, and another source is another library."""
    path = source(tmp_path)
    assert native_library(path).twice(21) == 42
    assert sorted(file.suffix for file in native_code.cache_folder().iterdir()) == [".sha256", ".so"]
    native_library.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert native_library(path).twice(4) == 8
    source(tmp_path, SOURCE.replace("2 *", "3 *"))
    native_library.cache_clear()
    assert native_library(path) is None


@pytest.mark.parametrize("missing", ["compiler", "cache", "syntax"])
def test_what_cannot_be_compiled(monkeypatch, tmp_path, caplog, missing):
    """Without a compiler, with a folder that cannot be written, or with an error there is none, and a log line."""
    path = source(tmp_path, SOURCE if missing != "syntax" else "twice")
    if missing == "compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
    if missing == "cache":
        (tmp_path / "cache").write_text("a file where the folder would be")
    with caplog.at_level(logging.INFO):
        assert native_library(path) is None
    assert "twice.cpp is not compiled" in caplog.text


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("damage", ["cut", "writable", "without a digest"])
def test_a_damaged_library_is_compiled_again(monkeypatch, tmp_path, damage):
    """A library that was cut, which would end the process, or that others may have written, is not loaded."""
    path = source(tmp_path)
    native_library(path)
    before = native_code.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))  # a path that this process has not loaded
    shutil.copytree(before, native_code.cache_folder())
    (library,) = native_code.cache_folder().glob("*.so")
    whole = library.read_bytes()
    if damage == "cut":
        library.write_bytes(whole[: len(whole) // 2])
    elif damage == "writable":
        library.chmod(0o666)
    else:
        library.with_suffix(".sha256").unlink()
    native_library.cache_clear()
    assert native_library(path).twice(21) == 42
    assert len(library.read_bytes()) == len(whole) and not library.stat().st_mode & 0o022


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_the_compiler_may_have_arguments(monkeypatch, tmp_path):
    """CXX may be a command with arguments, or empty."""
    for number, command in enumerate(("c++ -DUNUSED", "")):
        monkeypatch.setenv("CXX", command)
        native_library.cache_clear()
        assert native_library(source(tmp_path, SOURCE + f"// {number}\n")).twice(21) == 42
