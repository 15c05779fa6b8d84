"""How a process names its device."""

from __future__ import annotations

import pytest

from explorer.study.presence import attend
from explorer.system.environment import gpu_models


@pytest.mark.parametrize(
    ("models", "shown"),
    [
        (["NVIDIA H200", "NVIDIA H200"], "cuda:0 NVIDIA H200"),
        (["NVIDIA H200", "NVIDIA L4"], "cuda:0"),
        ([], "cuda:0"),
    ],
)
def test_a_gpu_is_shown_with_its_model(tmp_path, monkeypatch, models, shown):
    """A GPU has its model if all GPUs of the machine are of that model, since their order is unknown."""
    for number, model in enumerate(models):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 1\n")
    monkeypatch.setattr(attend, "gpu_models", lambda: gpu_models(tmp_path))
    assert attend._shown("cuda:0") == shown and attend._shown("cpu") == "cpu"
