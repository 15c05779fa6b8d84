"""The error tree: everything a user can cause.

    ExplorerError
    ├── SpaceError           a search-space file or a choice in it (located: file, line, column)
    ├── ArchitectureError    an architecture that cannot exist: shapes that do not meet, unknown ops
    ├── CostError            a count that cannot be made or that disagrees with another counter
    ├── MeasurementError     a device that is not there, a measurement that cannot be made
    ├── DataError            a data set that is missing, damaged or unknown
    ├── TrainingError        a training that cannot start or that ended without a usable result
    ├── StudyError           a search that cannot be run as it was asked for
    │   ├── SearchFailed     a search that gave up; its study is in the attribute study
    │   └── SettingError     a setting of a search or a training that is out of range; also a TrainingError
    ├── StoreError           a database or a study that is missing, unreadable or different
    └── ExportError          a file set that cannot be written or that fails its own check

Each message says where, what was found, what was expected and the likely mend. The command line
prints it and exits with status 2; ``assert`` is kept for what only a bug can cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

MANY_NAMES = 200


class ExplorerError(Exception):
    """The root of all errors that a user can cause."""


class Problem(NamedTuple):
    """One fault in a space file. ``line`` and ``column`` count from 1."""

    source: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}"


class SpaceError(ExplorerError):
    """One or more located faults of a search space, all that one reading found."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.source, p.line, p.column)))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self):
        return (type(self), (self.problems,))


class ArchitectureError(ExplorerError):
    """An architecture that cannot exist."""


class CostError(ExplorerError):
    """A count that cannot be made, or that disagrees with another counter."""


class MeasurementError(ExplorerError):
    """A device that is not there, or a measurement that cannot be made."""


class DataError(ExplorerError):
    """A data set that is missing, damaged or unknown."""


class TrainingError(ExplorerError):
    """A training that cannot start, or that ended without a usable result."""


class StudyError(ExplorerError):
    """A search that cannot be run as it was asked for: an unknown objective or sampler, a budget of nothing."""


class SearchFailed(StudyError):
    """A search that gave up: trial after trial failed, or its record could not be written.

    Attributes:
        study: The study with all trials that had ended.
    """

    def __init__(self, message: str, study: Any = None):
        super().__init__(message)
        self.study = study


class SettingError(StudyError, TrainingError):
    """A setting of a search or a training that has a wrong type, is out of range or is not one of the known names."""


class StoreError(ExplorerError):
    """A database or a study that is missing, unreadable or different from what was asked."""


class ExportError(ExplorerError):
    """A file set that cannot be written, or that fails its own check."""


# What a user may type -> the explorer's name for it, suggested only where that name is known.
SYNONYMS = {
    **dict.fromkeys(("fp32", "float", "single", "full"), "float32"),
    **dict.fromkeys(("fp16", "half"), "float16"),
    **dict.fromkeys(("bf16", "brainfloat"), "bfloat16"),
    **dict.fromkeys(("acc", "top1", "valaccuracy", "valacc", "testaccuracy"), "accuracy"),
    **dict.fromkeys(("valloss", "crossentropy"), "loss"),
    **dict.fromkeys(("latency", "time", "speed", "runtime", "inferencetime", "ms"), "latency_ms"),
    **dict.fromkeys(("mac", "madds", "multadds", "mults"), "macs"),
    **dict.fromkeys(("parameters", "parameter", "nparams", "weights"), "params"),
    **dict.fromkeys(("memory", "mem", "peakmemory"), "peak_memory_bytes"),
    **dict.fromkeys(("depth", "layers"), "weight_layers"),
    **dict.fromkeys(("nhwc", "channelslast"), "channels_last"),
    **dict.fromkeys(("onnx", "ort"), "onnxruntime"),
    **dict.fromkeys(("cudagraph", "cudagraphs"), "graph"),
    **dict.fromkeys(("torchcompile", "inductor"), "compile"),
    **dict.fromkeys(("nsgaii", "nsga"), "nsga2"),
    **dict.fromkeys(("bayesian", "bo", "bayes", "gaussianprocess"), "gp"),
    **dict.fromkeys(("evolutionary", "ea", "regularizedevolution", "genetic", "ga"), "evolution"),
    **dict.fromkeys(("randomsearch", "uniform"), "random"),
    **dict.fromkeys(("hyperband", "asha", "sha", "successivehalving", "median"), "rungs"),
    **dict.fromkeys(("off", "never", "no"), "none"),
    **dict.fromkeys(("batchnorm", "batchnorm2d", "norm"), "bn"),
    **dict.fromkeys(("conv2d", "convolution", "conv"), "conv3x3"),
    **dict.fromkeys(("linear", "dense"), "fc"),
    **dict.fromkeys(("adaptiveavgpool2d", "globalavgpool", "globalaveragepooling"), "gap"),
    **dict.fromkeys(("swish",), "silu"),
    **dict.fromkeys(("squeezeexcitation", "seblock"), "se"),
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'conv3x3'?`` for the known names that are likely meant, or an empty string.

    Those are the names that differ only in case and punctuation, else the one that SYNONYMS gives, else the nearest.
    """
    names = sorted(set(known))
    if len(names) > MANY_NAMES:  # among very many, only names that begin alike are compared
        names = [name for name in names if name[:1] == word[:1] and abs(len(name) - len(word)) <= 3][:MANY_NAMES]
    plain = _plain(word[:64])
    near = [name for name in names if _plain(name) == plain]
    if not near and SYNONYMS.get(plain) in names:
        near = [SYNONYMS[plain]]
    if not near:
        lower = {name.lower(): name for name in names}
        near = [lower[name] for name in get_close_matches(word[:64].lower(), lower, n=2, cutoff=0.6)]
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def _plain(word: str) -> str:
    """The word without case and punctuation, and without the package that torch's names begin with."""
    return "".join(filter(str.isalnum, word.lower().removeprefix("torch.").removeprefix("nn.")))


def one_line(error: BaseException) -> str:
    """What another package's error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
