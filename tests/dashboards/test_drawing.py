"""Drawings of blocks and networks, tested by their boxes, lines and texts, and by the files that are made of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from explorer.dashboard.figures.drawing.canvas import Box, Drawing, Joint, Line, Note
from explorer.dashboard.figures.drawing.groups import BlockGroup, block_groups, counterpart
from explorer.dashboard.figures.drawing.labels import op_label
from explorer.dashboard.figures.drawing.layout import block_drawing, network_drawing
from explorer.dashboard.figures.drawing.pdf import pdf_bytes
from explorer.dashboard.figures.drawing.svg import svg_text
from explorer.dashboard.figures.drawing.tikz import escaped, tikz_text
from explorer.dashboard.text import safe_text
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.conv import Conv
from explorer.space.search_space import load_space
from tests.dashboards.payloads import HOSTILE
from tests.polling import PATIENCE
from tests.space.spaces import only

ORDERS = {  # He et al. 2016, Fig. 4: the branch, and what follows the addition
    "original": (["3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16", "BN"], ["ReLU"]),
    "bn_after_add": (["3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16"], ["BN", "ReLU"]),
    "relu_before_add": (["3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16", "BN", "ReLU"], []),
    "relu_only_preact": (["ReLU", "3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16", "BN"], []),
    "full_preact": (["BN", "ReLU", "3×3 conv, 16", "BN", "ReLU", "3×3 conv, 16"], []),
}
TAPS = '"tap(a) conv3x3 tap(b) bn sum(relu, from(a), from(b)) silu +"'
FORK = '"conv1x1 sum(conv3x3 bn, conv3x3 bn relu conv5x5, relu) bn +"'


def network(**choices: str):
    space = load_space("preact_variants.yaml")
    return space.architecture(space.named({"depth": "3", **choices}))


def block(text: str) -> BlockGroup:
    """Return the first block of a network of one stage with this block."""
    return block_groups(only(block=text, stages="{blocks: 1, width: 8}", shortcut="{same: none}"))[0]


def column(drawing: Drawing, x: float = 0.0) -> list[str]:
    """Return the texts of the boxes of a column, from the top."""
    boxes = [part for part in drawing.parts if isinstance(part, Box) and abs(part.x + part.width / 2 - x) < 1]
    return [" ".join(box.lines) for box in sorted(boxes, key=lambda box: box.y)]


def notes(drawing: Drawing) -> list[str]:
    return [part.text for part in drawing.parts if isinstance(part, Note)]


def merge(drawing: Drawing) -> Joint:
    return next(part for part in drawing.parts if isinstance(part, Joint) and part.text == "+")


@pytest.mark.parametrize("order", ORDERS)
def test_the_five_orders(order):
    """A later block of each order of He et al. 2016 shows its branch in order, then the merge, then what follows."""
    drawing = block_drawing(block_groups(network(order=order))[0 if order != "full_preact" else 1])
    branch, after = ORDERS[order]
    assert column(drawing) == [*branch, *after]
    boxes = sorted((part for part in drawing.parts if isinstance(part, Box)), key=lambda box: box.y)
    assert sum(box.y < merge(drawing).y for box in boxes) == len(branch)
    assert notes(drawing)[0] == notes(drawing)[-1] == "16×32×32"


def test_projection_shortcuts_are_marked():
    """A shortcut with a conv is a column on the left, labelled projection; an identity is a line."""
    groups = {group.title: group for group in block_groups(network(order="original"))}
    assert list(groups) == [
        "stage 1, blocks 1–3 (identity shortcut)",
        "stage 2, block 1 (projection shortcut)",
        "stage 2, blocks 2–3 (identity shortcut)",
        "stage 3, block 1 (projection shortcut)",
        "stage 3, blocks 2–3 (identity shortcut)",
    ]
    drawing = block_drawing(groups["stage 2, block 1 (projection shortcut)"])
    left = [part for part in drawing.parts if isinstance(part, Box) and part.x + part.width < 0]
    assert [box.lines for box in sorted(left, key=lambda box: box.y)] == [("projection", "1×1 conv, 32, /2"), ("BN",)]
    identity = block_drawing(groups["stage 1, blocks 1–3 (identity shortcut)"])
    assert all(abs(part.x + part.width / 2) < 1 for part in identity.parts if isinstance(part, Box))
    assert sum(part.thick for part in identity.parts if isinstance(part, Line)) == 2


def test_a_shared_preactivation_is_above_the_fork():
    """Ops that shortcut and branch share are above the fork in a frame with a label."""
    group = next(g for g in block_groups(network(order="full_preact")) if g.block.shared and g.block.shortcut)
    drawing = block_drawing(group)
    assert "shared pre-activation" in notes(drawing)
    fork = min(part.y for part in drawing.parts if isinstance(part, Joint) and not part.text)
    above = [part.lines[0] for part in drawing.parts if isinstance(part, Box) and part.y < fork]
    assert above == ["BN", "ReLU"]


def test_a_plain_block_has_no_merge():
    """A block without a shortcut is drawn as one column with a label."""
    group = block_groups(network(order="original"))[0]
    plain = type(group.block)(group.block.branch, shortcut=None)
    drawing = block_drawing(BlockGroup(1, 1, 1, plain, group.x, group.y))
    assert "no shortcut" in notes(drawing)
    assert not [part for part in drawing.parts if isinstance(part, Joint)]


def test_a_network_folds_equal_blocks():
    """The network's drawing has input, stem, a frame per stage with its shape, head and classes; equal blocks are one
    box that says how many there are."""
    drawing = network_drawing(network(order="original"))
    assert notes(drawing)[0] == "input 3×32×32" and notes(drawing)[-1] == "10 classes"
    assert [text for text in notes(drawing) if text.startswith("stage")] == [
        "stage 1: 16×32×32",
        "stage 2: 32×16×16",
        "stage 3: 64×8×8",
    ]
    firsts = [text.split("  ")[0] for text in column(drawing)]
    assert firsts[0].startswith("stem 3×3 conv, 16")
    assert firsts[1].startswith("blocks 1–3: identity shortcut, 3 times")
    assert firsts[2].startswith("block 1: projection shortcut")
    assert firsts[-1].startswith("head")


def test_labels_are_those_of_papers():
    """Stride, dilation, groups and unusual padding are named; a squeeze has the ratio that papers give."""
    assert op_label(Conv(3, 64)) == "3×3 conv, 64"
    assert op_label(Conv(3, 64, stride=2, dilation=2, groups=4)) == "3×3 conv, 64, /2, dilation 2, 4 groups"
    assert op_label(Conv((1, 7), 64, stride=(2, 1), padding="same")) == "1×7 conv, 64, /2x1, padding same"
    made = network(order="full_preact", **{"attn@stage1": "se(r=16)", "attn@stage2": "se(r=4)"})
    squeezes = [op_label(each.block.branch[-1], each.y) for each in block_groups(made)]
    assert squeezes[0] == "SE r=16" and "SE r=4" in squeezes


@pytest.mark.parametrize("text", [TAPS, FORK], ids=["taps", "fork"])
def test_lines_do_not_cross_boxes(text):
    """No line runs through a box: the paths of a fork are columns side by side, and reads of taps are on the right."""
    drawing = block_drawing(block(text))
    boxes = [part for part in drawing.parts if isinstance(part, Box)]
    for line in (part for part in drawing.parts if isinstance(part, Line)):
        for (x0, y0), (x1, y1) in zip(line.points, line.points[1:]):
            assert x0 == x1 or y0 == y1, "lines are horizontal or vertical"
            for box in boxes:
                across = min(x0, x1) < box.x + box.width - 0.5 and max(x0, x1) > box.x + 0.5
                down = min(y0, y1) < box.y + box.height - 0.5 and max(y0, y1) > box.y + 0.5
                assert not (across and down), (line, box)


def test_a_read_of_a_tap_is_a_dashed_line():
    """Each place that reads a tap has a dashed line from the tap's tensor; the lines do not cross."""
    drawing = block_drawing(block(TAPS))
    dashed = [part.points for part in drawing.parts if isinstance(part, Line) and part.dashed]
    assert len(dashed) == 2
    (low, high) = sorted(dashed, key=lambda points: -points[0][1])
    assert low[0][1] > high[0][1] and low[1][0] < high[1][0], "the higher tap is further right"


def test_a_comparison_marks_what_differs():
    """Compared with another block, exactly the boxes that differ are marked; with itself, none is."""
    first, second = (block_groups(network(order="full_preact", act=act)) for act in ("relu", "silu"))
    other = counterpart(first[0], second)
    marked = [
        part.lines[0] for part in block_drawing(first[0], other).parts if isinstance(part, Box) and part.is_marked
    ]
    assert marked == ["ReLU", "ReLU"]
    assert not [part for part in block_drawing(first[0], first[0]).parts if isinstance(part, Box) and part.is_marked]


@pytest.mark.parametrize("text", [TAPS, FORK], ids=["taps", "fork"])
def test_an_svg_holds_every_text(text):
    """The SVG is well-formed, has a title for screen readers, and shows the text of each box."""
    drawing = block_drawing(block(text))
    root = ElementTree.fromstring(svg_text(drawing))
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(line in shown for part in drawing.parts if isinstance(part, Box) for line in part.lines)
    assert root.find("{http://www.w3.org/2000/svg}title").text == drawing.title


def test_a_pdf_is_one_page_with_text():
    """The PDF starts and ends as such, has one page, and is the same when it is made again."""
    made = pdf_bytes(network_drawing(network(order="original")))
    assert made.startswith(b"%PDF-") and made.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", made)) == 1
    assert made == pdf_bytes(network_drawing(network(order="original")))


@pytest.mark.parametrize("make", [lambda: block_drawing(block(TAPS)), lambda: network_drawing(network())])
def test_tikz_is_a_document(make, tmp_path):
    """The TikZ has balanced braces and environments, an entry for each box, and compiles where LaTeX is installed."""
    drawing = make()
    text = tikz_text(drawing)
    bare = text.replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
    assert text.count("\\begin{") == text.count("\\end{") == 2
    assert text.count("\\path[draw=") >= sum(isinstance(part, Box) for part in drawing.parts)
    assert set(re.findall(r"=(c[0-9A-F]{6})", text)) <= set(re.findall(r"definecolor\{(c[0-9A-F]{6})\}", text))
    if latex := shutil.which("pdflatex"):
        (tmp_path / "drawing.tex").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [latex, "-interaction=nonstopmode", "drawing.tex"], cwd=tmp_path, capture_output=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout[-2_000:]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text):
    """A text from a database is neither markup in the SVG nor a command in the TikZ, and the PDF is made."""
    text = safe_text(text)
    drawing = Drawing(text, [Box(0, 0, 90, 20, (text,), "#FFFFFF"), Note(0, 40, text), Joint(0, 60, 9, text)])
    assert {element.tag.split("}")[1] for element in ElementTree.fromstring(svg_text(drawing)).iter()} <= {
        "svg", "title", "defs", "marker", "path", "rect", "text",
    }  # fmt: skip
    assert not re.search(r"(?<!\\)[&%$#_]", re.sub(r"\$\\(times|cdot)\$", "", escaped(text)))
    assert pdf_bytes(drawing).startswith(b"%PDF-")


def test_a_shape_is_written_with_times():
    """The shapes at both ends of a block are its input and output."""
    group = block(FORK)
    assert group.x == TensorShape(8, 16, 16)
    assert notes(block_drawing(group))[0] == "8×16×16"
