"""The exception classes for errors that a user can cause.

    ExplorerError
    ├── SpaceError           a search-space file or a choice in it (located: file, line, column)
    ├── ArchitectureError    an invalid architecture: mismatched shapes, unknown ops
    ├── ExtensionError       an op, sampler or other extension that is missing, invalid, or registered twice
    ├── CostError            costs that cannot be counted, or that differ from another counter's
    ├── MeasurementError     a missing device, or a latency that cannot be measured
    ├── DataError            a missing, damaged or unknown data set
    ├── TrainingError        a training that cannot start, or that ended without a usable result
    ├── StudyError           a search whose arguments are invalid
    │   ├── SearchFailed     a search that ended early after failures; its study is in the attribute study
    │   └── SettingError     an invalid setting of a search or a training; also a TrainingError
    ├── StoreError           a missing, unreadable or different database or study
    └── ExportError          files that cannot be written, or that fail verification

A message states where the error is, what was found, what was expected and the suggested fix. The command line prints
it and exits with status 2. ``assert`` is only for errors that a bug in the explorer causes.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Any, NamedTuple

# Comparing a word with very many names is slow: above this number, only names of the same first letter and a similar
# length are compared.
MANY_NAMES = 200
MISSPELT = 0.74  # similarity, 0 to 1: that of two words of four letters of which two changed places is 0.75
EXCERPT_CHARACTERS = 160  # of a line of a file


class ExplorerError(Exception):
    """Base class of all errors that a user can cause."""


class Edit(NamedTuple):
    """A replacement of a part of a text.

    Attributes:
        start: Offset of the part, in characters from 0.
        end: Offset after the part.
        text: The new text of the part.
    """

    start: int
    end: int
    text: str


class Problem(NamedTuple):
    """One error in a space file.

    Attributes:
        source: Path of the file, or the name of the text.
        line: Line, from 1.
        column: Column, from 1.
        message: What is wrong.
        excerpt: The line of the file; empty if it is unknown.
        fixes: The line as it can be written, or several of which one is needed; none without a suggestion. A file with
            all suggested lines loads, unless it has errors without a suggestion.
        edits: Edits of the file that may fix the error, the most probable first.
    """

    source: str
    line: int
    column: int
    message: str
    excerpt: str = ""
    fixes: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        joint = " " if self.message.endswith("?") else "; "
        lines = " or ".join(f"`{line}`" for line in self.fixes)
        return f"{self._found()}{joint}write {lines}" if lines else self._found()

    def shown(self) -> str:
        """Return the error with the line of the file, a caret below the column, and the suggested line."""
        lines = [self._found()]
        if self.excerpt.strip():
            first = max(0, self.column - 1 - EXCERPT_CHARACTERS // 2)
            part = "".join(c if c.isprintable() else " " for c in self.excerpt[first : first + EXCERPT_CHARACTERS])
            lines += [f"    {part}", " " * (4 + self.column - 1 - first) + "^"]
        lines += [f"{'     or' if number else '  write'} `{line}`" for number, line in enumerate(self.fixes)]
        return "\n".join(lines)

    def _found(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}"


class SpaceError(ExplorerError):
    """All errors that one pass found in a space file.

    Args:
        problems: The errors, in any order; duplicates are removed.

    Attributes:
        problems: The errors, sorted by file, line and column.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.source, p.line, p.column)))
        super().__init__("\n".join(map(str, self.problems)))

    def shown(self) -> str:
        """Return the errors with their lines of the file, a caret at each place, and the suggested lines.

        A line that several errors suggest is shown once, after the last of them.
        """
        nexts = [*self.problems[1:], None]
        once = (
            problem._replace(fixes=() if after and after.fixes == problem.fixes else problem.fixes)
            for problem, after in zip(self.problems, nexts)
        )
        return "\n".join(problem.shown() for problem in once)

    def __reduce__(self) -> tuple[type[SpaceError], tuple[tuple[Problem, ...]]]:
        return (type(self), (self.problems,))


class ArchitectureError(ExplorerError):
    """An invalid architecture."""


class ExtensionError(ExplorerError):
    """An op, sampler or other extension that is missing, invalid, or registered twice."""


class CostError(ExplorerError):
    """Costs that cannot be counted, or that differ from another counter's."""


class MeasurementError(ExplorerError):
    """A missing device, or a latency that cannot be measured."""


class DataError(ExplorerError):
    """A missing, damaged or unknown data set."""


class TrainingError(ExplorerError):
    """A training that cannot start, or that ended without a usable result."""


class StudyError(ExplorerError):
    """A search whose arguments are invalid, such as an unknown objective or sampler, or an empty budget."""


class SearchFailed(StudyError):
    """A search that ended early: too many trials failed, or the database could not be written.

    Args:
        message: Why the search ended.
        study: The study.

    Attributes:
        study: The study with all finished trials; None if there is none.
    """

    def __init__(self, message: str, study: Any = None) -> None:
        super().__init__(message)
        self.study = study


class SettingError(StudyError, TrainingError):
    """A setting of a search or a training with a wrong type, a value out of range or an unknown name."""


class StoreError(ExplorerError):
    """A database or a study that is missing, unreadable or different from what was requested."""


class ExportError(ExplorerError):
    """Exported files that cannot be written, or that fail verification."""


# Common synonyms -> the explorer's name, suggested only if that name is among the known ones.
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
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a suggestion for an unknown name, such as ``; did you mean 'conv3x3'?``, or an empty string.

    The suggestion is the names that differ only in case and punctuation; else the name in SYNONYMS; else the one or two
    most similar names.

    Args:
        word: The unknown name.
        known: The valid names.
    """
    return suggestion(similar_names(word, known))


def suggestion(names: Iterable[str]) -> str:
    """Return the text that suggests names, such as ``; did you mean 'conv3x3'?``, or an empty string without names."""
    spelled = " or ".join(map(repr, names))
    return f"; did you mean {spelled}?" if spelled else ""


def similar_names(word: str, known: Iterable[str]) -> list[str]:
    """Return the known names that an unknown name probably stands for, as ``did_you_mean`` suggests them.

    Args:
        word: The unknown name.
        known: The valid names.
    """
    names = sorted(set(known))
    if len(names) > MANY_NAMES:
        names = [name for name in names if name[:1] == word[:1] and abs(len(name) - len(word)) <= 3][:MANY_NAMES]
    plain = _plain(word[:64])
    near = [name for name in names if _plain(name) == plain]
    if not near and SYNONYMS.get(plain) in names:
        near = [SYNONYMS[plain]]
    if not near:
        lower = {name.lower(): name for name in names}
        close = get_close_matches(word[:64].lower(), lower, n=2, cutoff=0.6)
        near = [lower[name] for name in close if _is_misspelling(word[:64].lower(), name)]
    return near


def _is_misspelling(word: str, name: str) -> bool:
    """Whether a word is a misspelling or an abbreviation of a name; 'flatten' is none of 'attn'.

    Of the path of a space file its last part is enough, without the extension.
    """
    name = name.lower().rpartition("/")[2].removesuffix(".yaml")
    return name.startswith(word) or word.startswith(name) or SequenceMatcher(None, name, word).ratio() >= MISSPELT


def _plain(word: str) -> str:
    """Return the word in lower case without punctuation and without the prefixes ``torch.`` and ``nn.``."""
    return "".join(filter(str.isalnum, word.lower().removeprefix("torch.").removeprefix("nn.")))


def one_line(error: BaseException) -> str:
    """Return the message of an exception on one line; the name of its class if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__
