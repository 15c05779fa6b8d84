"""C++ files are compiled once, and not at all where that is impossible."""

from __future__ import annotations

import logging
import os
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


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_another_compiler_or_c_library_has_a_library_of_its_own(monkeypatch, tmp_path):
    """One that cannot be loaded, as its compiler does not link what it needs, does not hinder another compiler."""
    path = source(tmp_path, 'extern "C" int missing();\n' + SOURCE.replace("2 *", "(MISSING) *"))
    monkeypatch.setenv("CXX", "c++ '-DMISSING=missing()'")
    assert native_library(path) is None
    monkeypatch.setenv("CXX", "c++ -DMISSING=2")
    native_library.cache_clear()
    assert native_library(path).twice(21) == 42
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.0"))
    native_library.cache_clear()
    assert native_library(path).twice(21) == 42
    assert len(list(native_code.cache_folder().glob("*.so"))) == 3


def test_a_failed_compilation_is_tried_again_the_next_day(monkeypatch, tmp_path, caplog):
    """Until then processes do not wait for a compiler that fails or hangs; the line in the log has its message."""
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\necho called >> '{tmp_path}/calls'\necho wrong flag >&2\nexit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CXX", str(compiler))
    for _ in range(3):
        native_library.cache_clear()
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert native_library(source(tmp_path)) is None
    assert "wrong flag" in caplog.text and (tmp_path / "calls").read_text() == "called\n"
    (failed,) = native_code.cache_folder().glob("*.failed")
    os.utime(failed, (0, 0))
    native_library.cache_clear()
    assert native_library(source(tmp_path)) is None
    assert (tmp_path / "calls").read_text() == "called\ncalled\n"


def test_a_missing_source_is_no_error(tmp_path):
    """A package without its C++ files computes without them."""
    assert native_library(tmp_path / "twice.cpp") is None


def test_a_user_without_a_home_has_no_library(monkeypatch, tmp_path):
    """As a container's user without an entry in /etc/passwd, if HOME is not set."""

    def no_entry(number):
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    assert native_library(source(tmp_path)) is None


def test_the_compiler_does_not_read_the_input_of_the_process(monkeypatch, tmp_path):
    """A command that reads its standard input, such as a shell, finds it empty."""
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\nread line && echo read >> '" + str(tmp_path / "seen") + "'\nexit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CXX", str(compiler))
    (tmp_path / "input").write_text("a line\n")
    before = os.dup(0)
    with open(tmp_path / "input") as given:
        os.dup2(given.fileno(), 0)
    try:
        assert native_library(source(tmp_path)) is None
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert not (tmp_path / "seen").exists()
