"""Run as a script, in a process of its own: what exported folders put out, as a safetensors file.

Standard input, a request a line: ``{"batches": [n, ...], "out": file, "models": [[folder, [C, H, W], [format, ...]],
...]}``; standard output, an empty line when ``out`` is written. Imports torch and what each format is loaded with,
never the package that exported, so that what it loads is seen to need nothing of it.
"""

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: to look through it for garbage costs a tenth of the time

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from safetensors.torch import load_file, save

Run = Callable[[torch.Tensor], Any]  # images -> what the network puts out, a tensor or several


def python(folder: str) -> Run:
    spec = importlib.util.spec_from_file_location("exported_model", f"{folder}/model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: torch.nn.Module = module.Network()
    network.load_state_dict(load_file(f"{folder}/model.safetensors"))
    return network.eval()


def pt2(folder: str) -> Run:
    return torch.export.load(f"{folder}/model.pt2").module()


def onnx(folder: str) -> Run:
    """ONNX Runtime where it is installed, else the reference evaluator that comes with onnx."""
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime  # type: ignore[import-untyped]  # it has no annotations

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session: Any = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    else:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(f"{folder}/model.onnx")
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {"images": x.numpy()})]


LOAD: dict[str, Callable[[str], Run]] = {"python": python, "pt2": pt2, "onnx": onnx}


def answer(batches: Sequence[int], out: str, models: Sequence[tuple[str, Sequence[int], Sequence[str]]]) -> None:
    found: dict[str, torch.Tensor] = {}
    for number, (folder, shape, formats) in enumerate(models):
        for name in formats:
            run = LOAD[name](folder)
            for batch in batches:
                x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
                with torch.inference_mode():
                    results = run(x)
                for index, y in enumerate([results] if isinstance(results, torch.Tensor) else results):
                    found[f"{number}/{name}/{batch}/{index}"] = y.clone().contiguous()
    with open(out, "wb") as file:  # safetensors.save_file raises no OSError on a full disk
        file.write(save(found))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    torch.set_num_threads(1)  # as where the network's own outputs are computed
    for line in sys.stdin:
        answer(**json.loads(line))
        print(file=answers, flush=True)
