"""The recipes of reproductions, and what they leave out of the papers' training."""

from __future__ import annotations

# 64k steps of 128 images are 182 epochs of the 45,000 images that are left beside the validation split.
HE2016_EPOCHS = 182
SPLIT = "5,000 of the 50,000 training images are the validation split and are not trained on"
HE2016_DIFFERS = f"{SPLIT}; the published numbers are medians of 5 runs"

# A one-cycle schedule gets far in few epochs; small batches make more steps of few images.
QUICK = {"base": "quick", "name": "quick_64", "batch_size": 64, "lr": 0.1}

# Zagoruyko and Komodakis 2016, arXiv:1605.07146, section 3: Nesterov, x0.2 at epochs 60, 120 and 160 of 200.
WRN_EPOCHS = 200
WRN2016 = {
    "name": "wrn2016",
    "schedule": "wrn2016",
    "lr": 0.1,
    "batch_size": 128,
    "nesterov": True,
    "weight_decay": 5e-4,
}
