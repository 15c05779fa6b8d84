"""The settings of a search."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from explorer.analysis.limits import Limit, parse_limit
from explorer.analysis.quantities import COSTS, LATENCY, SCORES, TRAINED, directions
from explorer.errors import SettingError
from explorer.scoring.names import check_scores
from explorer.settings.frozen import FrozenDict
from explorer.settings.kinds import Bytes, Flag, Kind, Name, Names, Seconds, Text, Whole
from explorer.settings.settings import Settings, setting
from explorer.store.database import DEFAULT_STORAGE
from explorer.store.remote.place import VARIABLE, parse_place
from explorer.study.candidates import OwnCost
from explorer.study.events import Progress
from explorer.study.samplers.registry import SAMPLERS
from explorer.study.stopping.rules import AUTO, RULES
from explorer.study.trackers.tracking import Trackers
from explorer.study.workers.engines import LOCAL
from explorer.study.workers.jobs import Evaluate
from explorer.study.workers.watchdog import TrialLimits
from explorer.training.settings import TrainingSettings

OBJECTIVES = {"accuracy": "max", "macs": "min"}
EXAMPLE = "{'accuracy': 'max', 'macs': 'min'}"
NO_LIMITS = "none"  # as text for a study without limits
CHANGED_CODE = ("refuse", "continue")
OPTION = r"[A-Za-z][\w-]*"  # the name of an option of an engine
SEEDS = -(2**63), 2**63 - 1  # the integers that SQLite and PostgreSQL store


class Objectives(Kind):
    """A mapping of objective to "max" or "min". As text, or a list: names, whose directions are known."""

    def read(self, name: str, value: Any) -> Any:
        return self.check(name, value)

    def check(self, name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            names = value.split(",") if isinstance(value, str) else value
            if not isinstance(names, (list, tuple)) or not all(isinstance(each, str) for each in names):
                raise SettingError(f"{name} must be names, as in accuracy,macs, or {EXAMPLE}; found {value!r}")
            names = [each.strip() for each in names if each.strip()]
            if not all(re.fullmatch(r"[\w.-]+", each) for each in names):
                raise SettingError(f"{name} must be names between commas, as in accuracy,macs, found {value!r}")
            value = _directions(name, names)
        if not value:
            raise SettingError(f"a search needs at least one objective, as in {EXAMPLE}")
        for objective, direction in value.items():
            if direction not in ("max", "min"):
                raise SettingError(f"objective {objective!r}: a direction is 'max' or 'min', found {direction!r}")
        return FrozenDict(value)

    def write(self, value: Any) -> Any:
        return dict(value)

    def spell(self, value: Any) -> str:
        return ",".join(value)


def _directions(name: str, names: list[str]) -> dict[str, str]:
    """Return each name with "max" for an accuracy and "min" for any other quantity."""
    if len(set(names)) != len(names):
        raise SettingError(f"{name} {','.join(names)!r} names one twice")
    return directions(names)


class Limits(Kind):
    """Bounds on costs. The text ``none`` removes all limits of a study; None keeps them."""

    repeated = True

    def check(self, name: str, value: Any) -> tuple[Limit, ...]:
        given = [value] if isinstance(value, (str, Limit)) else value
        if not isinstance(given, Iterable) or isinstance(given, Mapping):
            raise SettingError(f"{name} must be limits, as in 'macs<=50M', found {value!r}")
        texts = list(given)
        if NO_LIMITS not in texts:
            return tuple(parse_limit(each) for each in texts)
        if len(texts) > 1:
            raise SettingError(f"{name}: 'none' removes all limits of a study; give it alone")
        return ()

    def write(self, value: Any) -> Any:
        return None if value is None else [str(limit) for limit in value]


class Place(Text):
    """A folder, or the URL of an object store."""

    def check(self, name: str, value: Any) -> str:
        return parse_place(super().check(name, value))


class Options(Kind):
    """Options by name; as text ``KEY=VALUE``, or ``KEY`` for one without a value."""

    repeated = True

    def read(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.check(name, {str(key): str(each) for key, each in value.items()})
        texts = [value] if isinstance(value, str) else list(value)
        pairs = [_option(name, text) for text in texts]
        for text, (key, _) in zip(texts, pairs):
            if not re.fullmatch(OPTION, key):
                raise SettingError(f"{name} must be KEY=VALUE, as in partition=gpu, found {text!r}")
        return self.check(name, dict(pairs))

    def check(self, name: str, value: Any) -> dict[str, str]:
        is_text = isinstance(value, Mapping) and all(isinstance(each, str) for pair in value.items() for each in pair)
        if not is_text or not all(re.fullmatch(OPTION, key) for key in value):
            raise SettingError(f"{name} must be names with texts, as in {{'partition': 'gpu'}}, found {value!r}")
        if any(not each.isprintable() for each in value.values()):
            raise SettingError(f"{name}: a value must be printable text on one line, found {value!r}")
        return FrozenDict(value)

    def write(self, value: Any) -> Any:
        return dict(value)


def _option(name: str, text: Any) -> tuple[str, str]:
    if not isinstance(text, str):
        raise SettingError(f"{name} must be KEY=VALUE, as in partition=gpu, found {text!r}")
    key, _, value = text.partition("=")
    return key.strip(), value.strip()


class Function(Kind):
    """A function of the caller's."""

    def check(self, name: str, value: Any) -> Any:
        if not callable(value):
            raise SettingError(f"{name} must be a function, found {value!r}")
        return value


class Functions(Function):
    """A mapping of name to a function of the caller's, which computes the cost of that name."""

    def check(self, name: str, value: Any) -> dict[str, Any]:
        functions = dict(value).items()
        return FrozenDict({cost: super(Functions, self).check(f"the cost {cost}", each) for cost, each in functions})


@dataclass(frozen=True, kw_only=True)
class SearchSettings(Settings):
    """All settings of a search. Each field's help is in its metadata; ``explorer search --help`` shows it.

    Attributes:
        training: How each network is trained.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    trials: int | None = setting(
        None,
        "Total number of complete and stopped trials of the study. Without trials, time and until-stable: 120 more than"
        " it has, and at most 150 s on embedded data.",
        Whole(),
        metavar="N",
    )
    seconds: float | None = setting(
        None,
        "Time of this run, as in 90s, 30m or 2h. A trial that would end later is not started.",
        Seconds(),
        in_python="A number of seconds.",
        flag="--time",
        metavar="TIME",
    )
    until_stable: int | None = setting(
        None,
        "End when N trials in a row have not increased the hypervolume of the front.",
        Whole(),
        metavar="N",
    )
    repeats: int | None = setting(
        None,
        "After the trials, train networks near the front again until the study has K such repeats: they show how"
        " certain the front is.",
        Whole(),
        metavar="K",
    )
    trial_seconds: float | None = setting(
        None,
        "A trial that takes longer fails; by default 20 times the median, and at least 10 minutes.",
        Seconds(),
        in_python="A number of seconds.",
        flag="--trial-time",
        metavar="TIME",
    )
    trial_memory: int | None = setting(
        None,
        "A trial whose processes use more memory fails, as in 8G.",
        Bytes(),
        in_python="A number of bytes.",
        metavar="BYTES",
    )
    sampler: str = setting(
        "frontier",
        f"Sampler that proposes networks: {', '.join(SAMPLERS)}.",
        Name("sampler", SAMPLERS, "sampler"),
        metavar="NAME",
    )
    cover: int | None = setting(
        None,
        "First try each level of each choice at least K times, several in each network; it takes K trials for each"
        " level of the largest choice, and more if limits or conditions keep levels apart. By default each level is"
        " tried up to twice, in at most a third of the trials, and 0 times with the sampler random.",
        Whole(0, max_typed=1_000),
        metavar="K",
    )
    stopping: str = setting(
        AUTO,
        f"Rule that stops unpromising trials early: {', '.join(RULES)}; auto is rungs from 8 epochs on.",
        Name("stopping rule", (AUTO, *RULES), "stopping"),
        metavar="NAME",
    )
    scores: tuple[str, ...] = setting(
        (),
        f"Zero-cost scores to store with each network's accuracy: {', '.join(SCORES)}.",
        Names(check_scores),
        metavar="NAME,...",
        accepts="Iterable[str] | str",
    )
    retry_failed: bool = setting(
        False,
        "Retry also trials of earlier runs that exceeded a limit on time or memory, whose training diverged, whose"
        " network cannot be built, or whose workers were lost repeatedly.",
        Flag(),
    )
    record_gradients: bool = setting(
        False,
        "Store each network's gradient flow at its initialisation.",
        Flag(),
    )
    limits: tuple[Limit, ...] | None = setting(
        None,
        "Reject networks that exceed this limit, as in 'macs<=50M' or 'latency_ms<=2'; may be repeated."
        " Limits are stored in the study; 'none' removes all.",
        Limits(),
        in_python="One or several texts or Limits; an empty list removes all.",
        flag="--limit",
        metavar="LIMIT",
        accepts="Iterable[Limit | str] | Limit | str | None",
    )
    objectives: Mapping[str, str] = setting(
        OBJECTIVES,
        f"Objectives to trade off: {', '.join(TRAINED)}, {LATENCY}, and any cost: {', '.join(COSTS)}.",
        Objectives(),
        in_python="A mapping of each to 'max' or 'min', or their names as one text or a list.",
        metavar="NAMES",
        in_fingerprint=True,
        accepts="Mapping[str, str] | Iterable[str]",
    )
    workers: int | None = setting(
        None,
        "Networks trained in parallel; one per CPU core by default, fewer while other processes train on the machine."
        " On a Ray cluster, as many as fit; with slurm the number of workers, 1 by default.",
        Whole(max_typed=1_024, auto=True),
        in_python="With evaluate one by default.",
        metavar="N",
    )
    workers_per_device: int | None = setting(
        None,
        "Networks that share one GPU; a short probe finds the number by default.",
        Whole(max_typed=1_024, auto=True),
        metavar="N",
    )
    engine: str = setting(
        LOCAL,
        "Where trials run: local (this machine), ray (a Ray cluster), slurm (workers as a SLURM job array), or the name"
        " of an installed engine.",
        Text(),
        metavar="NAME",
    )
    engine_address: str | None = setting(
        None,
        "Address of the engine, as in HOST:6379; auto is a Ray cluster that this machine belongs to.",
        Text(),
        metavar="ADDRESS",
    )
    engine_options: Mapping[str, str] = setting(
        {},
        "Option of the engine, may be repeated; for slurm those of sbatch, as in partition=gpu or time=4:00:00.",
        Options(),
        in_python="A mapping of names to values.",
        flag="--engine-option",
        metavar="KEY=VALUE",
        accepts="Mapping[str, str]",
    )
    cpus_per_trial: int | None = setting(
        None,
        "CPU cores of each trial on a cluster; 1 by default.",
        Whole(max_typed=1_024),
        metavar="N",
    )
    track: tuple[str | Progress, ...] = setting(
        (),
        "Send trials and learning curves to a tracker: tensorboard[=FOLDER], mlflow[=ADDRESS] or wandb[=PROJECT]; may"
        " be repeated.",
        Trackers(),
        in_python="Also functions that are called with each Event.",
        metavar="NAME[=TARGET]",
        accepts="Iterable[str | Progress] | str | Progress",
    )
    study: str | None = setting(
        None,
        "Name of the study; SPACE-DATA by default.",
        Text(),
        in_python="With evaluate it is SPACE-FUNCTION.",
        metavar="NAME",
    )
    new_study: bool = setting(
        False,
        "Create a new study even if one of that name exists.",
        Flag(),
    )
    seed: int | None = setting(
        None,
        "Seed of all random numbers; by default the study's own, 0 for a new study.",
        Whole(*SEEDS),
        metavar="S",
    )
    storage: str | None = setting(
        DEFAULT_STORAGE,
        "Database of the studies, a URL or the path of a file; also from EXPLORER_STORAGE, which hides a password.",
        Text(),
        in_python="None keeps the study in memory.",
        metavar="URL",
        envvar="EXPLORER_STORAGE",
        accepts="str | PathLike[str] | None",
    )
    artifacts: str | None = setting(
        None,
        "Where weights, checkpoints and curves are kept: a folder, or a URL such as s3://BUCKET/PREFIX; by default"
        " explorer.artifacts beside the database. It is stored in the study.",
        Place(),
        metavar="PLACE",
        envvar=VARIABLE,
        accepts="str | PathLike[str] | None",
    )
    evaluate: Evaluate | None = setting(
        None,
        "``evaluate(architecture, *, choices, epochs, seed)`` replaces training and returns the objectives that are not"
        " costs, once per trial. It runs in a child process if that finds it by its name, so that its crash fails one"
        " trial; with workers=1 it runs in this process.",
        Function(),
        flag=None,
        in_fingerprint=True,
    )
    costs: Mapping[str, OwnCost] | None = setting(
        None,
        "name -> f(architecture, choices), a cost known before evaluation. It is added to the analytic costs, or"
        " replaces the one of that name.",
        Functions(),
        flag=None,
        in_fingerprint=True,
    )
    changed_code: str = setting(
        "refuse",
        "What to do if the code of evaluate or costs differs from that of the study's results: refuse to run, or"
        " continue and keep the results.",
        Name("changed_code", CHANGED_CODE),
        flag=None,
    )

    @property
    def trial_limits(self) -> TrialLimits:
        """The limits on one trial's time and memory."""
        return TrialLimits(self.trial_seconds, self.trial_memory)
