"""Run as a script, in a process of its own: the logits of exported folders, one JSON line each.

Standard input: ``{"threads": n, "batch": n, "models": [[folder, [C, H, W]], ...]}``. Imports torch and
the standard library alone, so that what it loads is seen to need nothing else.
"""

import importlib.util
import json
import sys

import torch


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    for number, (folder, shape) in enumerate(request["models"]):
        spec = importlib.util.spec_from_file_location(f"model_{number}", f"{folder}/model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        network = module.load(f"{folder}/model.safetensors")
        x = torch.randn(request["batch"], *shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            print(json.dumps(network(x).tolist()))


if __name__ == "__main__":
    main()
