"""Kernel sizes beside the name of a layer, and as a choice: ``conv 3x3``, ``conv3*3``, ``conv(3|5)``.

Each detector is a function of a ``Scan`` that yields findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from explorer.errors import Edit
from explorer.space.language.foreign.scan import Finding, Scan, base_layer


def split_sizes(scan: Scan) -> Iterator[Finding]:
    """conv 3x3, 3x3 conv and conv3*3."""
    for match in re.finditer(r"\b((?:dw)?conv|maxpool|avgpool)(\d{1,2})\*\2(?![\w.])", scan.text):
        new = f"{match[1]}{match[2]}x{match[2]}"
        message = f"{match[0]!r}: a kernel size is written {new}"
        yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
    for index, lexeme in enumerate(scan.lexemes):
        after = scan.at(index + 2 if scan.at(index + 1).text == "-" else index + 1)
        pair = (lexeme.text, after.text)
        size = next((text for text in pair if re.fullmatch(r"\d{1,2}x\d{1,2}", text)), "")
        name = next((text for text in pair if base_layer(text) in ("conv", "dwconv", "maxpool", "avgpool")), "")
        if size and name and not any(map(str.isdigit, name.replace("2d", ""))) and lexeme.kind == after.kind == "name":
            new = f"{base_layer(name)}{size}"
            message = f"'{lexeme.text} {after.text}': the kernel size is part of the name, {new}"
            yield Finding(lexeme.start, message, (Edit(lexeme.start, after.end, new),))


def kernel_choices(scan: Scan) -> Iterator[Finding]:
    """conv(3|5), conv{3,5}, conv[3x3, 5x5] and conv(3|5)x(3|5)."""
    sizes_of = r"\d+(?:x\d+)?(?:\s*[,|/]\s*\d+(?:x\d+)?)+"
    pattern = rf"\b((?:dw_?)?conv(?:2d)?_?)[\[({{]\s*({sizes_of})\s*[\])}}](?:x[\[({{][^\])}}]*[\])}}])?"
    for match in re.finditer(pattern, scan.text, re.IGNORECASE):
        sizes = [part.split("x")[0] for part in re.split(r"\s*[,|/]\s*", match[2])]
        base = base_layer(match[1])
        if base and all(int(size) <= 11 and int(size) % 2 for size in sizes):
            new = f"({' | '.join(f'{base}{size}x{size}' for size in sizes)})"
            message = f"{match[0]!r}: kernel sizes as a choice are written {new}"
            yield Finding(match.start(), message, (Edit(match.start(), match.end(), new),))
