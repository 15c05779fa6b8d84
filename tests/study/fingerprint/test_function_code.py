"""The parts of a function that its code digest includes, and the parts that it ignores."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import textwrap

import pytest

from explorer.study.fingerprint.function_code import describe_function, function_name, short_name

MODULE = '''
"""A module."""
import argparse
import dataclasses
import functools
import math

RATE = 0.1
calls = []


def helper(x):
    """Helps."""
    return x + RATE  # a comment


class Model:
    """A model."""

    scale = 2

    def __init__(self, width):
        self.width = width
        self.calls = 0

    def __call__(self, arch, *, choices, epochs, seed):
        self.calls += 1
        return {"accuracy": self.value()}

    def value(self):
        return helper(self.scale * self.width)


def evaluate(arch, *, choices, epochs, seed, bias=0.5):
    calls.append(seed)
    return {"accuracy": math.sqrt(helper(bias))}


def other(arch, *, choices, epochs, seed):
    return {"accuracy": 0.5}


def capturing(value):
    return lambda arch, *, choices, epochs, seed: {"accuracy": value}


def counting():
    count = 0

    def evaluate(arch, *, choices, epochs, seed):
        nonlocal count
        count += 1
        return {"accuracy": 1 / count}

    return evaluate


@functools.cache
def cached(arch, *, choices, epochs, seed):
    return {"accuracy": helper(1)}


CONFIG = {"lr": 0.1}
CONFIG["depth"] = 3
CONFIG.update(width=1)
if RATE:
    CONFIG["rate"] = RATE


def load(count):
    return [count]


@dataclasses.dataclass
class Settings:
    size: int
    calls: int = 0


images = load(3)
arguments = argparse.Namespace(size=1)
settings = Settings(1)


def configured(arch, *, choices, epochs, seed):
    CONFIG.setdefault("seed", seed)
    images.append(seed)
    settings.calls += 1
    return {"accuracy": CONFIG["lr"] + len(images) + arguments.size + settings.size}


def enclosing():
    config = {"local": 1}

    def evaluate(arch, *, choices, epochs, seed):
        config["seed"] = seed
        return {"accuracy": config["local"]}

    return evaluate


enclosed = enclosing()
first, second = (lambda arch, **settings: {"accuracy": 1.0}), (lambda arch, **settings: {"accuracy": 2.0})
'''


@pytest.fixture
def load(tmp_path):
    """Load a module named ``train`` from source, from a new file each time."""
    made = []

    def load(source: str, folder: str = ""):
        place = tmp_path / (folder or str(len(made)))
        place.mkdir()
        (place / "train.py").write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location("train", place / "train.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["train"] = module
        spec.loader.exec_module(module)
        made.append(module)
        return module

    yield load
    sys.modules.pop("train", None)


SAME = {
    "a comment": ("# a comment", "# another comment"),
    "a docstring": ('"""Helps."""', '"""Is of help.\n\n    Much."""'),
    "no docstring": ('    """Helps."""\n', ""),
    "blank lines": ("\ndef evaluate", "\n\n\n\n\ndef evaluate"),
    "formatting": ("{'accuracy': 0.5}", "{\n        'accuracy': 0.5,\n    }"),
    "another function": ("0.5}", "0.75}"),
}


@pytest.mark.parametrize("before, after", SAME.values(), ids=SAME)
def test_changes_without_effect_keep_the_digest(load, before, after):
    """Comments, docstrings, formatting, position in the file and unreferenced code do not change the digest."""
    source = MODULE.replace('{"accuracy": 0.5}', "{'accuracy': 0.5}")
    assert before in source
    one, two = load(source), load(source.replace(before, after))
    assert describe_function(one.evaluate) == describe_function(two.evaluate)
    assert describe_function(one.evaluate)["code"].startswith("source ")


OTHER = {
    "its own code": ("math.sqrt(helper(bias))", "helper(bias)", "evaluate"),
    "a helper": ("x + RATE", "x - RATE", "evaluate"),
    "a constant": ("RATE = 0.1", "RATE = 0.2", "evaluate"),
    "a default": ("bias=0.5", "bias=0.6", "evaluate"),
    "a helper of a cached function": ("x + RATE", "x - RATE", "cached"),
    "a method": ("self.scale * self.width", "self.scale + self.width", "Model"),
    "an attribute of the class": ("scale = 2", "scale = 3", "Model"),
    "a dict of settings": ('CONFIG = {"lr": 0.1}', 'CONFIG = {"lr": 0.2}', "configured"),
    "a change to a dict of settings": ('CONFIG["depth"] = 3', 'CONFIG["depth"] = 4', "configured"),
    "a method of a dict of settings": ("CONFIG.update(width=1)", "CONFIG.update(width=2)", "configured"),
    "a constant in a dict of settings": ("RATE = 0.1", "RATE = 0.2", "configured"),
    "a function that makes a global": ("return [count]", "return [count + 1]", "configured"),
    "arguments of the command line": ("Namespace(size=1)", "Namespace(size=2)", "configured"),
    "a dataclass of settings": ("Settings(1)", "Settings(2)", "configured"),
    "a dict of the enclosing function": ('{"local": 1}', '{"local": 2}', "enclosed"),
}


@pytest.mark.parametrize("before, after, name", OTHER.values(), ids=OTHER)
def test_changes_of_referenced_code_change_the_digest(load, before, after, name):
    """The digest covers the function's code and the caller's functions, classes and constants that it refers to."""
    assert before in MODULE
    one, two = (getattr(load(source), name) for source in (MODULE, MODULE.replace(before, after)))
    if name == "Model":
        one, two = one(3), two(3)
    assert describe_function(one)["code"] != describe_function(two)["code"]
    assert describe_function(one)["name"] == describe_function(two)["name"]


def test_captured_and_bound_values_change_the_digest(load):
    """Captured values, arguments of a partial and attributes of an object change the digest of the same code."""
    module = load(MODULE)
    made = [
        *map(module.capturing, (1, 2, "a", (1, 2), module.helper, module.evaluate)),
        functools.partial(module.evaluate, bias=1), functools.partial(module.evaluate, bias={"a": [1]}),
        functools.partial(module.evaluate, bias={"a": [2]}), module.Model(1), module.Model(2),
        module.first, module.second, module.counting(),
    ]  # fmt: skip
    codes = [describe_function(each)["code"] for each in made]
    assert len(set(codes)) == len(codes)
    again = [describe_function(each)["code"] for each in (module.capturing(1), module.Model(1))]
    assert again == [codes[0], codes[9]]


def test_state_that_calls_change_is_not_in_the_digest(load):
    """A counter, an attribute that a call assigns and a list of calls do not change the digest."""
    module = load(MODULE)
    settings = {"choices": {}, "epochs": None, "seed": 0}
    for function in (module.counting(), module.Model(1), module.evaluate, module.configured, module.enclosed):
        before = describe_function(function)
        function(None, **settings)
        assert describe_function(function) == before


def test_settings_of_another_module_are_in_the_digest(load, tmp_path, monkeypatch):
    """The digest covers a dict imported from another of the caller's modules, by its name or through the module."""
    monkeypatch.syspath_prepend(tmp_path)
    for source in (
        "from settings import CONFIG as config\ndef evaluate(arch, **settings): return config['lr']\n",
        "import settings as chosen\ndef evaluate(arch, **settings): return chosen.CONFIG['lr']\n",
    ):
        codes = set()
        for rate in ("0.1", "0.25"):
            (tmp_path / "settings.py").write_text(f"CONFIG = {{'lr': {rate}}}\n")
            monkeypatch.delitem(sys.modules, "settings", raising=False)
            importlib.invalidate_caches()
            codes.add(describe_function(load(source).evaluate)["code"])
        assert len(codes) == 2


@pytest.mark.parametrize("function", [len, functools.reduce, functools.partial(max, 1), textwrap.dedent, str])
def test_installed_functions_are_identified_by_name(function):
    """Built-in and installed functions are identified by name, and their source is not read."""
    assert describe_function(function) == describe_function(function)
    assert describe_function(function)["code"].startswith("source ")


def test_moved_names_of_the_explorer_keep_their_digest(load):
    """A function that uses moved names of the explorer keeps the digest that version 0.1 stored."""
    module = load(
        "from explorer import Pause\nfrom explorer.data.dataset import load_data\n\n\n"
        "def evaluate(arch, *, choices, epochs, seed):\n"
        '    with Pause("cpu") as pause:\n        pause()\n'
        '    return {"accuracy": float(len(load_data("digits").train))}\n'
    )
    assert describe_function(module.evaluate)["code"] == "source 2e753fd85a6ca078"


def test_the_name_does_not_depend_on_how_the_file_is_run(tmp_path, environment):
    """A script, a module run with -m and an import give the same name and digest."""
    (tmp_path / "train.py").write_text(
        MODULE
        + "\nfrom explorer.study.fingerprint import function_code\nprint(function_code.describe_function(evaluate))\n"
    )
    ways = (["train.py"], ["-m", "train"], ["-c", "import train"])
    said = {
        subprocess.run(
            [sys.executable, *way], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout
        for way in ways
    }
    assert len(said) == 1 and "'name': 'train.evaluate'" in said.pop()


def test_without_source_the_digest_covers_the_bytecode():
    """A function without source, from a prompt or ``exec``, is identified by its bytecode and the Python version."""
    made = []
    for body in ("1", "2"):
        names: dict = {}
        exec(f"def f(arch, **settings): return {body}", names)
        made.append(describe_function(names["f"]))
    assert made[0] != made[1]
    assert made[0]["code"].startswith(f"bytecode of Python {sys.version_info[0]}.{sys.version_info[1]} ")


def test_names(load):
    """A lambda has no name of its own, a partial has its function's name, and an object has its class's name."""
    module = load(MODULE)
    assert short_name(module.first) == "" and short_name(functools.partial(module.evaluate, bias=1)) == "evaluate"
    assert short_name(module.Model(1)) == "Model" and function_name(module.Model(1).value) == "train.Model.value"
