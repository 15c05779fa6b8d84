"""Published networks with parallel paths: their costs and their places in `search_spaces/published`.

The figures come from running the named library, as those of ``networks.TABLE``, in whose form they are written.
"""

PARALLEL_PATHS = """\
# torchvision 0.28.0
shufflenet_v2_x0_5 | 224 | 1366792 | 40476448 | 1024904
    shufflenet_v2 base=48
shufflenet_v2_x1_0 | 224 | 2278604 | 144907992 | 1951200
    shufflenet_v2
googlenet | 224 | 6624904 | 1498376192 | 3227160
    googlenet
"""
