"""Hostile space files by name. Run as a program, this module reads them all and prints each outcome.

``refused`` ends in a SpaceError; ``read`` may also load, as long as it costs little.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path

from explorer.errors import SpaceError
from explorer.space.search_space import parse_space
from tests.space.spaces import text


def chain(length: int, link: str, end: str) -> dict[str, str]:
    """Return rules r0, r1, ...: each is ``link`` with NEXT for the following one; the last is ``end``."""
    return {**{f"r{k}": link.replace("NEXT", f"r{k + 1}") for k in range(length)}, f"r{length}": end}


def many(count: int, template: str) -> dict[str, str]:
    return {f"rule-{k:04}": template.replace("K", f"{k:04}") for k in range(count)}


STAGES_64 = f"{{blocks: 2000, width: [{', '.join(['8'] * 64)}]}}"

# Alternative widths that are also group counts: most combinations do not divide, and all errors have one position.
FAULTY = (
    ("two alternatives", "8 | 12", 18, "network"),
    ("two alternatives a stage", "8 | 12", 18, "stage"),
    ("sixty alternatives", " | ".join(str(7 * k) for k in range(1, 61)), 6, "network"),
    ("a range of alternatives", "'range(1,512,1)'", 4, "block"),
)

REFUSED: dict[str, str | bytes] = {
    "alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + k)}: &{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(8)),
    "recursive alias": "a: &a [*a]",
    "merge bomb": "a: &a {b: c}\n" + "".join(f"x{k}: &x{k} {{<<: [*a, *a]}}\n" for k in range(20)),
    "merge key": "a: {<<: {b: c}}",
    "python tag": "name: !!python/object/apply:os.system ['true']",
    "binary tag": "name: !!binary aGVsbG8=",
    "verbatim tag": "name: !<tag:yaml.org,2002:str> x",
    "tag directive": "%TAG ! tag:example.com,2000:\n---\nname: !x y",
    "deep brackets": "a: " + "[" * 100_000,
    "deep braces": "a: " + "{a: " * 50_000,
    "deep blocks": "".join("  " * k + "a:\n" for k in range(700)),
    "huge whole number": text(classes="9" * 5_000),
    "huge number in an expression": text(block="conv3x3(" + "9" * 4_000 + ") +"),
    "huge power": text(block="conv3x3(1e99*1e99) +"),
    "huge product": text(block="conv3x3(" + "*".join(["999999999999999999"] * 90) + ") +"),
    "huge quotient": text(block="conv3x3(" + "/".join(["999999999999999983"] * 90) + ") +"),
    "huge scalar": "name: " + "a" * 900_000,
    "long key": "a" * 900_000 + ": b",
    "many events": "a: [" + "b, " * 300_000 + "]",
    "many keys": "".join(f"k{k}: v\n" for k in range(90_000)),
    "many unknown keys": text() + "".join(f"{'blocq' * 12}{k}: a\n" for k in range(9_000)),
    "too many bytes": "#" * 2_000_000,
    "not text": bytes(range(256)) * 100,
    "half a character": text().encode() + b"\xc3",
    "nul": text(about="a\0b"),
    "escape": text(about="\x1b[2J"),
    "next line in quotes": text(about="'a\x85b'"),
    "line separator": text(about="a\u2028b"),
    "byte order mark inside": text(about="a\ufeffb"),
    "second document": text() + "---\n" + text(),
    "ambiguous": text(classes="1e1"),
    "brackets in an expression": text(block="(" * 2_000 + "bn" + ")" * 2_000 + " +"),
    "calls in an expression": text(block='"conv3x3(' + "round(" * 600 + "1" + ", 1)" * 600 + ') +"'),
    "activations in activations": text(block='"conv3x3 ' + "se(act=" * 400 + "relu" + ")" * 400 + ' +"'),
    "minus signs": text(block="conv3x3(" + "-" * 4_000 + "1) +"),
    "sum": text(block="conv3x3(" + "1+" * 2_000 + "1) +"),
    "long chain of layers": text(chain(1_990, "NEXT", "relu"), block="r0 conv3x3 +"),
    "long chain of numbers": text(chain(1_990, "NEXT", "1"), block="conv3x3(r0) +"),
    "chain of brackets": text(chain(60, "(((((((((NEXT)?)?)?)?)?)?)?)?)?", "relu"), block="r0 conv3x3 +"),
    "chain of sums": text(chain(60, "NEXT" + "+1" * 90, "1"), block="conv3x3(r0) +"),
    "long cycle": text({**chain(1_990, "NEXT", "r0")}, block="r0 conv3x3 +"),
    "doubling layers": text(chain(60, "NEXT NEXT", "bn"), block="r0 conv3x3 +"),
    "doubling nothing": text(chain(60, "NEXT NEXT", "none"), block="r0 conv3x3 +"),
    "doubling numbers": text(chain(60, "NEXT + NEXT", "1"), block="conv3x3(r0) conv3x3 +"),
    "doubling blocks": text(chain(70, "NEXT | (NEXT bn)", "conv3x3 +"), block="r0"),
    "repetitions of repetitions": text(chain(20, "(NEXT){100}", "bn"), block="r0 conv3x3 +"),
    "repetitions of nothing": text(chain(20, "(NEXT){100}", "none"), block="r0 conv3x3 +"),
    "a million layers": text(block="(bn){10000} (bn){10000} conv3x3 +"),
    "many blocks": text(stages=STAGES_64),
    "deep blocks, many of them": text(stages=STAGES_64, block="(bn){5000} conv3x3 +"),
    "a choice in each of many blocks": text(
        {"act": "relu | silu"}, {"act": "block"}, stages=STAGES_64, block="act conv3x3 +"
    ),
    "a billion channels": text(stages="{blocks: 2, width: 1000000000}"),
    "a billion channels in a conv": text(block="conv3x3(1000000000) conv3x3 +"),
    "a billion channels by arithmetic": text(block="conv3x3(w*125000000) conv3x3 +"),
    "a billion channels by concatenation": text(
        block="conv1x1 cat", stages="{blocks: 2000, width: 65536}", input="1x1x1", stem="bn"
    ),
    "a million blocks": text(stages="{blocks: 1000000, width: 8}"),
    "a billion classes": text(classes="1000000000"),
    "a billion pixels": text(input="3x1000000000x1"),
    "a huge kernel": text(block="conv9999x9999 +"),
    "many stages": text(stages=f"{{blocks: 1, width: [{', '.join(['8'] * 5_000)}]}}"),
    "many rules": text({f"r{k}": "bn" for k in range(3_000)}),
    "ranges": text({f"r{k}": "'" + "+".join(["range(1,9999,1)"] * 90) + "'" for k in range(150)}),
    "a range of a billion": text({"r": "range(1, 1000000000, 1)"}),
    "a range of tiny steps": text({"r": "range(0, 1, 1e-99)"}),
    "names with minus signs": text(many(1_900, "bn " * 100)),
    "unknown names everywhere": text(many(1_990, "rulx-K")),
    "unknown names in one line": text(block="xx " * 1_300 + "+"),
    **{
        f"a fault in most networks, {kind}": text(
            {f"a{k}": values for k in range(count)},
            {f"a{k}": scope for k in range(count)},
            block=" ".join(f"conv3x3(a{k}, g=a{(k + 1) % count})" for k in range(count)) + " conv3x3 +",
        )
        for kind, values, count, scope in FAULTY
    },
    "digits of another script": text(stages="{blocks: ٢, width: 8}"),
    "superscript": text(classes="²"),
    "surrogate": text(about="x").encode() + b"\xed\xa0\x80",
}

READ: dict[str, str] = {
    "diamonds": text(
        {
            **{f"r{k}": f"x{k} | y{k}" for k in range(12)},
            **{f"{side}{k}": f"r{k + 1}" for k in range(12) for side in "xy"},
            "r12": "conv3x3 +",
        },
        block="r0",
        stages="{blocks: 1, width: 8}",
    ),
    "repetitions": text(block="conv3x3{1,100} (relu{1,256} | bn{1,250}) bn +"),
    "repetitions by use": text(
        {"act": "relu | silu"}, {"act": "use"}, block="act{0,200} conv3x3 +", stages="{blocks: 1, width: 8}"
    ),
    "many choices of widths": text(
        {f"a{k}": "8 | 16" for k in range(18)}, block=" ".join(f"conv3x3(a{k})" for k in range(18)) + " conv3x3 +"
    ),
    "many choices in few blocks": text(
        {f"a{k}": "relu | silu" for k in range(300)},
        {f"a{k}": "block" for k in range(300)},
        block=" ".join(f"a{k}" for k in range(300)) + " conv3x3 +",
    ),
    "long text in one scalar": text(block="bn " * 1_300 + "conv3x3 +"),
}


def peak_mb() -> int:
    """Return the peak memory of this process in MiB. Linux inherits a parent's ``ru_maxrss`` over fork and exec, so the
    value is read from /proc there."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    for name, data in {**REFUSED, **READ}.items():
        start = time.process_time()
        try:
            outcome = f"read: {parse_space(data, 'h.yaml').count() > 0}"
        except SpaceError as error:
            outcome = str(error)
        except Exception as error:
            outcome = f"foreign: {error!r}"
        seconds = time.process_time() - start
        print(
            json.dumps({"name": name, "outcome": outcome[:3_000], "seconds": seconds, "peak_mb": peak_mb()}), flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
