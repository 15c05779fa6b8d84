"""The settings file: accepted values and error positions."""

from __future__ import annotations

import pytest

from explorer.analysis.limits import parse_limit
from explorer.errors import SettingError
from explorer.settings.file import read_settings, write_settings
from explorer.study.settings import SearchSettings
from explorer.training.recipe import RECIPES

KNOWN = [each for each in SearchSettings.described() if each.flag is not None]


def read(tmp_path, text):
    path = tmp_path / "search.yaml"
    path.write_text(text)
    return read_settings(path, KNOWN)


def test_values_are_read_as_they_are_typed(tmp_path):
    """A value may have YAML's own type or be the text of the command line, and a key may be that of an option."""
    text = """
    trials: 1e3
    workers: auto
    time: 1h30m
    trial-time: 1.5e2
    trial_memory: 8.5e9
    study: 2026-11-30
    storage: 5
    subset: 300            # a comment
    skip_damaged: true
    scores: zen, naswot
    objectives: [accuracy, params]
    limits: none
    recipe: {base: cosine, lr: 0.05, nesterov: true}
    """
    assert read(tmp_path, text) == {
        "trials": 1_000,
        "workers": None,
        "seconds": 5_400.0,
        "trial_seconds": 150.0,
        "trial_memory": 8_500_000_000,
        "study": "2026-11-30",
        "storage": "5",
        "subset": 300,
        "skip_damaged": True,
        "scores": ("zen", "naswot"),
        "objectives": {"accuracy": "max", "params": "min"},
        "limits": (),
        "recipe": {"base": "cosine", "lr": 0.05, "nesterov": True},
    }
    assert read(tmp_path, "# nothing") == {}
    assert SearchSettings.make({"limits": "none"}).limits == ()


def test_null_is_left_out(tmp_path):
    """A setting whose value is null or empty has its default, whatever the setting is."""
    assert read(tmp_path, "".join(f"{each.name}: null\n" for each in KNOWN)) == {}
    assert read(tmp_path, "storage: ~\nsampler:\nworkers: auto\n") == {"workers": None}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"limits": ()},
        {"limits": ["macs<=50M", "latency_ms<=2.345678901ms", "params<=1e-7", parse_limit("accuracy>=60%")]},
        {"objectives": {"loss": "min", "joules": "max", "latency_ms": "min"}, "scores": ["zen"]},
        {"recipe": "mine.json", "data": "a folder/of: images@32", "data_dir": "~/x # y", "study": "no"},
        {"recipe": {"lr": 1 / 3, "base": "cosine", "nesterov": False}},
        {"recipe": RECIPES["quick"]},
        {"seconds": 0.1 + 0.2, "trial_seconds": 90, "trial_memory": 2**40, "seed": -(2**63), "study": "5"},
        {"storage": "null", "new_study": True, "retry_failed": True, "skip_damaged": True, "sampler": "gp"},
    ],
    ids=str,
)
def test_a_written_file_is_read_back(tmp_path, given):
    """The written file gives the same settings, including defaults and an equal recipe."""
    settings = SearchSettings.make(given)
    again = SearchSettings.make(read(tmp_path, write_settings(settings.values(), KNOWN)))
    training = settings.training.resolved("digits") if given.get("recipe") != "mine.json" else None
    if training is not None:
        assert again.training.resolved("digits") == training
    if given.get("recipe") is not RECIPES["quick"]:
        assert again == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trials: 3\nworkers: 2\ntrials: 4\n", "search.yaml:3:1: the key 'trials' is repeated"),
        ("trials: 3\ntrails: 3\n", "search.yaml:2:1: unknown setting 'trails'; did you mean 'trials'?"),
        ("seconds: 5\ntime: 2h\n", "search.yaml:2:1: 'time' repeats the setting 'seconds' in line 1"),
        ("time: 2h\n\nseconds: 3h\n", "search.yaml:3:1: 'seconds' repeats the setting 'time' in line 1"),
        ("time: soon\n", "search.yaml:1:7: 'soon' is not a time; write 90s, 30m or 2h"),
        ("trials: 8.5\n", "search.yaml:1:9: '8.5' is not a whole number"),
        ("retry_failed: 1\n", "search.yaml:1:15: retry_failed must be true or false, found '1'"),
        ("retry_failed: 1.0\n", "search.yaml:1:15: retry_failed must be true or false, found '1.0'"),
        ("xyzzy: 3\n", "search.yaml:1:1: unknown setting 'xyzzy'; known: data, data_dir, subset"),
        ("evaluate: f\n", "search.yaml:1:1: unknown setting 'evaluate'"),
        ("trials: many\n", "search.yaml:1:9: 'many' is not a whole number; write one as in 1000"),
        ("trials: 0\n", "search.yaml:1:9: trials must be at least 1, found 0"),
        ("sampler: tpee\n", "search.yaml:1:10: unknown sampler 'tpee'; known: .*did you mean 'tpe'"),
        ("skip_damaged: yes\n", "search.yaml:1:15: skip_damaged must be true or false, found 'yes'"),
        ("sampler: 5\n", "search.yaml:1:10: unknown sampler '5'"),
        ("study: [a]\n", "search.yaml:1:8: study must be text, found .'a'."),
        ("limits:\n- macs<=5M\n- macs\n", "search.yaml:2:1: 'macs' is not a limit"),
        ("limits: [none, macs<=5M]\n", "search.yaml:1:9: limits: 'none' removes all limits of a study; give it alone"),
        ("objectives: accuracy,accuracy\n", "search.yaml:1:13: .* names one twice"),
        ("recipe: {learning_rate: true}\n", "search.yaml:1:9: a recipe has no 'learning_rate'.*did you mean 'lr'"),
        ("recipe: {lr: 2026-11-30}\n", "search.yaml:1:9: recipe 'custom': lr must be a number"),
        ("recipe: [quick]\n", "search.yaml:1:9: a recipe is a name, a JSON file or a mapping of fields"),
        ("recipe: {lr: 1, lr: 2}\n", "search.yaml:1:17: the key 'lr' is repeated"),
        ("study: !!python/object:os.system x\n", "search.yaml:1:8: tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("study: &a x\nsampler: *a\n", "search.yaml:1:8: anchor '&a'; write the value out"),
        ("recipe: " + "{a: " * 9 + "1" + "}" * 9, "nested deeper than 8 levels"),
        ("recipe: " + "[" * 600, "search.yaml.*: not YAML"),
        ("- trials\n", "search.yaml:1:1: a settings file is a mapping of data, data_dir"),
        ("trials: [1\n", "search.yaml:2:1: not YAML: "),
        ("? [a]\n: 3\n", "search.yaml:1:3: a key must be a word"),
        ("a: 1\n--- \nb: 2\n", "search.yaml.*: not YAML: but found another document"),
    ],
    ids=lambda value: value[:30],
)
def test_an_invalid_file_gives_one_line_with_a_position(tmp_path, text, message):
    """The error has file, line, column, the text found and a suggestion."""
    with pytest.raises(SettingError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_rejected(tmp_path):
    """A missing file, a folder and bytes that are not text give one line each."""
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name, reason in (("absent.yaml", "No such file"), ("", "cannot be read"), ("bytes.yaml", "not text in UTF-8")):
        with pytest.raises(SettingError, match=reason):
            read_settings(tmp_path / name, KNOWN)
