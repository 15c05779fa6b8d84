"""Run as a script, in a process of its own: what exported folders put out, as a safetensors file.

Standard input, once torch is loaded: ``{"threads": n, "batches": [n, ...], "out": file, "models": [[folder,
[C, H, W], [format, ...]], ...]}``. Imports torch and what each format is loaded with, never the package that
exported, so that what it loads is seen to need nothing of it.
"""

import importlib.util
import json
import sys

import torch
from safetensors.torch import load_file, save_file


def python(folder, threads):
    spec = importlib.util.spec_from_file_location("exported_model", f"{folder}/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Network()
    network.load_state_dict(load_file(f"{folder}/model.safetensors"))
    return network.eval()


def pt2(folder, threads):
    return torch.export.load(f"{folder}/model.pt2").module()


def onnx(folder, threads):
    """ONNX Runtime where it is installed, else the reference evaluator that comes with onnx."""
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    else:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(f"{folder}/model.onnx")
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {"images": x.numpy()})]


def main():
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    load = {"python": python, "pt2": pt2, "onnx": onnx}
    out = {}
    for number, (folder, shape, formats) in enumerate(request["models"]):
        for name in formats:
            run = load[name](folder, request["threads"])
            for batch in request["batches"]:
                x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
                with torch.inference_mode():
                    results = run(x)
                for index, y in enumerate([results] if isinstance(results, torch.Tensor) else results):
                    out[f"{number}/{name}/{batch}/{index}"] = y.clone().contiguous()
    save_file(out, request["out"])


if __name__ == "__main__":
    main()
