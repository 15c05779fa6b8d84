"""Script that runs exported folders in a separate process and writes their outputs as a safetensors file.

It runs as a script of its own, or in a forked child. Input: one request a line, ``{"batches": [n, ...], "out": file,
"models": [[folder, [C, H, W], [format, ...]], ...]}``. Output: an empty line when ``out`` is written. The keys of
``out`` are ``model/format/batch/output``.

The script imports torch and the libraries that load each format, but not this package: an exported folder must work
without it. ``forget_package`` makes an import of this package fail.
"""

import gc

if __name__ == "__main__":
    gc.disable()  # imported modules are not garbage; collecting during imports takes a tenth of the time

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import torch
from safetensors.torch import load_file, save

Run = Callable[[torch.Tensor], Any]  # images -> one output or a list of outputs


def python(folder: str) -> Run:
    """Load ``model.py`` with the weights of ``model.safetensors``."""
    spec = importlib.util.spec_from_file_location("exported_model", f"{folder}/model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: torch.nn.Module = module.Network()
    network.load_state_dict(load_file(f"{folder}/model.safetensors"))
    return network.eval()


def pt2(folder: str) -> Run:
    """Load ``model.pt2``."""
    return torch.export.load(f"{folder}/model.pt2").module()


def onnx(folder: str) -> Run:
    """Load ``model.onnx`` with ONNX Runtime if it is installed, else with the reference evaluator of onnx."""
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session: Any = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    else:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(f"{folder}/model.onnx")
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {"images": x.numpy()})]


LOAD: dict[str, Callable[[str], Run]] = {"python": python, "pt2": pt2, "onnx": onnx}


def handle(batches: Sequence[int], out: str, models: Sequence[tuple[str, Sequence[int], Sequence[str]]]) -> None:
    """Handle one request; see the top of this file."""
    outputs: dict[str, torch.Tensor] = {}
    for number, (folder, shape, formats) in enumerate(models):
        for name in formats:
            run = LOAD[name](folder)
            for batch in batches:
                x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
                with torch.inference_mode():
                    results = run(x)
                for index, y in enumerate([results] if isinstance(results, torch.Tensor) else results):
                    outputs[f"{number}/{name}/{batch}/{index}"] = y.clone().contiguous()
    with open(out, "wb") as file:  # safetensors.save_file raises no OSError on a full disk
        file.write(save(outputs))


def forget_package() -> None:
    """Remove this package from the process: a file that imports it raises ImportError."""
    for name in [name for name in sys.modules if name.startswith("explorer.")]:
        del sys.modules[name]
    sys.modules["explorer"] = None  # type: ignore[assignment]  # how Python marks a module that cannot be imported


def serve(requests: TextIO, answers: TextIO) -> None:
    """Handle requests until the other end closes; see the top of this file.

    Args:
        requests: One request a line.
        answers: An empty line is written here after each request.
    """
    sys.dont_write_bytecode = True
    forget_package()
    torch.set_num_threads(1)  # as in the process that runs the network itself
    for line in requests:
        handle(**json.loads(line))
        print(file=answers, flush=True)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other code may print to standard output; its text goes to stderr
    serve(sys.stdin, answers)
