"""A new option of a search is one field."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace

import click
import pytest
from click.testing import CliRunner

import explorer
from docs.generate import options_module, settings_table
from explorer.cli.running import SEARCH, search, train, worker
from explorer.cli.setting_options import setting_options
from explorer.errors import StoreError
from explorer.settings.file import read_settings, write_settings
from explorer.settings.kinds import Whole
from explorer.settings.settings import setting, takes_settings
from explorer.space.search_space import load_space
from explorer.store.database import open_for_writing
from explorer.store.studies import create_study
from explorer.study.fingerprint.fingerprint import DESCRIBED, make_fingerprint, require_same
from explorer.study.search import run_search
from explorer.study.settings import SearchSettings
from explorer.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Wider(SearchSettings):
    """The settings of a search with two more."""

    warm_up: int = setting(3, "Random trials before the sampler.", Whole(), metavar="N", in_fingerprint=True)
    patience: int | None = setting(None, "Trials to wait.", Whole())


def test_a_new_option_is_one_field(tmp_path):
    """The option appears in --help, signature, docstring, settings file and documentation, and its value is used."""

    @takes_settings(Wider)
    def run(space: str, settings: Wider) -> Wider:
        """Run a search.

        Args:
            {settings}
        """
        return settings

    @click.command()
    @setting_options(Wider.described())
    def command(**options: object) -> None:
        click.echo(write_settings(run("a space", **options).values(), described))

    described = [each for each in Wider.described() if each.flag is not None]
    shown = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--warm-up N Random trials before the sampler. [at least 1] [default: 3]" in shown
    assert inspect.signature(run).parameters["warm_up"].default == 3
    assert "    warm_up: int\n" in options_module(Wider, {"WiderOptions": ("TrainingOptions", described)})
    assert "    warm_up: Random trials before the sampler." in run.__doc__
    assert "| `warm_up` | `--warm-up N` | `3` | Random trials before the sampler. Range: at least 1. | yes |" in (
        settings_table(described)
    )
    printed = CliRunner().invoke(command, ["--warm-up", "1k"]).output
    (tmp_path / "search.yaml").write_text(printed)
    assert run("a space", **read_settings(tmp_path / "search.yaml", described)).warm_up == 1_000
    assert "warm_up must be at least 1, found 0" in CliRunner().invoke(command, ["--warm-up", "0"]).output


def test_a_new_option_may_belong_to_the_study():
    """A marked option enters the fingerprint if it differs from the default, and another value is refused; an unmarked
    one may differ."""
    space = load_space("he2016_orders.yaml")
    settings = Wider(patience=2)
    kept = make_fingerprint(space, SearchSettings())
    assert make_fingerprint(space, settings) == kept
    study = create_study(
        open_for_writing(None), "one", space_name="he2016_orders", space_text=space.text, fingerprint=kept,
        objectives=settings.objectives, seed=0,
    )  # fmt: skip
    require_same(study, make_fingerprint(space, settings), space.text)
    with pytest.raises(StoreError, match=r"created with other settings \(warm_up: none, now 5\)"):
        require_same(study, make_fingerprint(space, replace(settings, warm_up=5)), space.text)


def test_every_setting_is_offered_everywhere():
    """Commands and public functions offer all of their settings, and the fingerprint has all marked ones."""
    described = SearchSettings.described()
    typed = {each.name: each.flag for each in described if each.flag is not None}
    options = {param.name: param.opts[0] for param in search.params}
    assert {**typed, "space": "--space"}.items() <= options.items()
    own = set(options) - set(typed) - {"import_files"}  # every command has --import once the command line has loaded it
    assert own == {"space", "config", "print_config", "dry_run", "as_json"}
    assert {each.name for each in SEARCH} == {*typed, "space"}
    of_study = {each.name for each in described if each.in_fingerprint}
    assert set(DESCRIBED) == of_study and not of_study & {param.name for param in worker.params}
    names = [each.name for each in described]
    for function in (explorer.search, run_search):
        parameters = inspect.signature(function).parameters
        assert list(parameters) == ["space", "settings", *names, "progress"]
        assert {name: parameters[name].default for name in names} == {each.name: each.default for each in described}
    training = [each.name for each in TrainingSettings.described()]
    assert {param.name for param in train.params} - {"import_files"} == {
        *training,
        "arch",
        "seed",
        "as_json",
        "storage",
    }
    assert set(training) <= set(inspect.signature(explorer.train).parameters)
