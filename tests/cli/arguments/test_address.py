"""The forms in which users name an architecture."""

import pytest

from explorer.cli.address import Input, find_architecture
from explorer.errors import ExplorerError
from explorer.networks.ops.base import TensorShape
from explorer.space.choices import named_choices
from explorer.space.search_space import load_space

NO_STORAGE = "sqlite:///there-is-none.db"


def test_index_and_choices_name_the_same_network():
    """``#INDEX`` and ``#choice=alternative,...`` name the same derivation."""
    space = load_space("preact_variants.yaml")
    derivation = space.unrank(1234)
    choices = ",".join(f"{name}={text}" for name, text in derivation.choices.items())
    by_index = find_architecture("preact_variants.yaml#1234", NO_STORAGE).architecture
    by_choices = find_architecture(f"preact_variants.yaml#{choices}", NO_STORAGE).architecture
    assert by_index.digest == by_choices.digest == space.architecture(1234).digest


def test_name_without_scope_sets_every_instance():
    """``attn=se(r=4)`` sets the choice in every stage, and omitted choices take their first alternative."""
    derivation = find_architecture("preact_variants#attn=se(r=4)", NO_STORAGE).derivation
    assert {name: text for name, text in derivation.choices.items() if name.startswith("attn")} == {
        f"attn@stage{k}": "se(r=4)" for k in (1, 2, 3)
    }
    assert derivation.choices["order"] == "original"


def test_commas_in_brackets_do_not_separate():
    """An alternative with arguments is one item."""
    assert named_choices("a=se(r=4, round=8),b=1") == {"a": "se(r=4, round=8)", "b": "1"}


def test_exported_architecture_is_found_by_its_path(tmp_path):
    """The path of an architecture.json names the network that it contains."""
    architecture = load_space("preact_variants").architecture(7)
    path = tmp_path / "architecture.json"
    path.write_text(architecture.to_json())
    assert find_architecture(str(path), NO_STORAGE).architecture == architecture


def test_exported_folder_is_found_by_its_path(tmp_path, monkeypatch):
    """The folder of an export names its network, from any working folder."""
    architecture = load_space("preact_variants").architecture(7)
    (tmp_path / "net:3").mkdir()
    (tmp_path / "net:3" / "architecture.json").write_text(architecture.to_json())
    monkeypatch.chdir(tmp_path)
    for address in ("net:3", "./net:3/", str(tmp_path / "net:3")):
        assert find_architecture(address, NO_STORAGE).architecture == architecture
    monkeypatch.chdir("net:3")
    assert find_architecture(".", NO_STORAGE).architecture == architecture


def test_another_input_replaces_the_one_of_the_file():
    """``--input`` and ``--classes`` change the network's input and classes."""
    override = Input(TensorShape(1, 16, 16), 7)
    architecture = find_architecture("preact_variants#0", NO_STORAGE, override).architecture
    assert (architecture.input, architecture.classes) == ((1, 16, 16), 7)


@pytest.mark.parametrize(
    ("override", "input", "classes"),
    [(Input(TensorShape(1, 16, 16)), (1, 16, 16), 10), (Input(classes=7), (3, 32, 32), 7)],
)
def test_omitted_parts_of_an_input_stay(override, input, classes):
    """An omitted ``--input`` or ``--classes`` keeps the value of the space file."""
    architecture = find_architecture("preact_variants#0", NO_STORAGE, override).architecture
    assert (architecture.input, architecture.classes) == (input, classes)


def test_an_exported_network_keeps_its_classes(tmp_path):
    """An exported network accepts another input but no other classes, and the error names the alternative."""
    path = tmp_path / "architecture.json"
    path.write_text(load_space("preact_variants").architecture(7).to_json())
    moved = find_architecture(str(tmp_path), NO_STORAGE, Input(TensorShape(3, 16, 16), 10)).architecture
    assert moved.input == (3, 16, 16)
    with pytest.raises(
        ExplorerError, match="head is made for 10 classes and cannot become one for 7; take the network from its"
    ):
        find_architecture(str(path), NO_STORAGE, Input(classes=7))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("preact_variants#ordr=original", "did you mean 'order'"),
        ("preact_variants#order=preact", "order has no alternative 'preact'"),
        ("preact_variants#order", "write NAME=ALTERNATIVE"),
        ("preact_variants#order=original,order=original", "made twice"),
        ("preact_variants#ratio=1/4", "does not arise here"),
        ("preact_variants#", "an empty text names no network"),
        ("preact_variants#10368", "it has 10,368 derivations"),
        ("nowhere.yaml#0", "no such file"),
        ("nonsense", "names no architecture"),
        ("preact_variants.yaml", "is a space; name a network of it, as in preact_variants.yaml#0"),
        ("x" * 5_000, "names no architecture"),
        ("missing.json", "cannot be read"),
        ("study:3", "there-is-none.db"),
    ],
)
def test_an_invalid_address_is_reported(address, message):
    """An invalid address gives a one-line error that names the invalid part."""
    with pytest.raises(ExplorerError) as error:
        find_architecture(address, NO_STORAGE)
    assert message in str(error.value) and "\n" not in str(error.value)
