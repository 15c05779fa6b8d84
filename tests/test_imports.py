"""What an import may bring along."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "optuna", "pandas", "streamlit", "sklearn", "plotly")


@pytest.mark.parametrize(
    "code",
    [
        "import explorer; a = explorer.load_space('preact_variants.yaml').architecture(5); explorer.cost(a); a.to_json()",
        "import explorer.store; from explorer.store import open_study",
        "import explorer.cli.spaces, explorer.cli.studies",
        "from explorer.training.data import describe_data; describe_data('digits')",
    ],
)
def test_light_work_stays_light(code):
    """Reading a space, costing, asking a store and the light commands import none of the heavy packages."""
    check = f"{code}\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names_load():
    """Every public name of the package can be had, and an unknown one is said."""
    import explorer

    for name in explorer.__all__:
        assert getattr(explorer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        explorer.nothing  # noqa: B018
