# Written by `python -m docs.generate` from the table in __init__.py.

from explorer.costs.analytic import Cost as Cost
from explorer.costs.analytic import count_cost as cost
from explorer.costs.whole_space.table import atlas as atlas
from explorer.dashboard.study_files import plot_frontier as plot_frontier
from explorer.dashboard.study_files import write_report as write_report
from explorer.errors import ExplorerError as ExplorerError
from explorer.errors import SearchFailed as SearchFailed
from explorer.errors import SpaceError as SpaceError
from explorer.export.weights import load_weights as load_weights
from explorer.export.weights import pair_weights as pair_weights
from explorer.extensions.files import load_extension as load_extension
from explorer.extensions.registry import register as register
from explorer.measure.latency import latency as latency
from explorer.measure.predictor.calibration import predict_latency as predict_latency
from explorer.networks.architecture import Architecture as Architecture
from explorer.networks.build import build_network as build
from explorer.networks.ops.base import Argument as Argument
from explorer.networks.ops.base import Call as Call
from explorer.networks.ops.base import Op as Op
from explorer.networks.ops.base import OpCost as OpCost
from explorer.networks.ops.base import TensorShape as TensorShape
from explorer.records import TrialRecord as TrialRecord
from explorer.scoring.zero_cost import Scorer as Scorer
from explorer.scoring.zero_cost import score_architecture as score
from explorer.space.choices import Derivation as Derivation
from explorer.space.search_space import SearchSpace as SearchSpace
from explorer.space.search_space import load_space as load_space
from explorer.space.search_space import parse_space as parse_space
from explorer.store.managing.changes import annotate_study as annotate_study
from explorer.store.managing.changes import delete_study as delete_study
from explorer.store.managing.changes import rename_study as rename_study
from explorer.store.managing.copies import copy_study as copy_study
from explorer.store.presence.status import study_status as study_status
from explorer.store.presence.stops import stop_study as stop_study
from explorer.store.studies import open_study as open_study
from explorer.store.study import Study as Study
from explorer.study.compare import compare_spaces as compare_spaces
from explorer.study.confirm.run import confirm as confirm
from explorer.study.events import Event as Event
from explorer.study.events import Progress as Progress
from explorer.study.events import Status as Status
from explorer.study.exchange.merging import merge_studies as merge_studies
from explorer.study.exchange.optuna import from_optuna as from_optuna
from explorer.study.exchange.optuna import to_optuna as to_optuna
from explorer.study.pairs.run import train_pairs as train_pairs
from explorer.study.results.effects import choice_effects as choice_effects
from explorer.study.results.exporting import export_trial as export_trial
from explorer.study.search import search as search
from explorer.system.device_lock import Pause as Pause
from explorer.training.gradient_flow import gradient_flow as gradients
from explorer.training.recipe import Recipe as Recipe
from explorer.training.run import train_architecture as train

__all__ = [
    "Architecture",
    "Argument",
    "Call",
    "Cost",
    "Derivation",
    "Event",
    "ExplorerError",
    "Op",
    "OpCost",
    "Pause",
    "Progress",
    "Recipe",
    "Scorer",
    "SearchFailed",
    "SearchSpace",
    "SpaceError",
    "Status",
    "Study",
    "TensorShape",
    "TrialRecord",
    "annotate_study",
    "atlas",
    "build",
    "choice_effects",
    "compare_spaces",
    "confirm",
    "copy_study",
    "cost",
    "delete_study",
    "export_trial",
    "from_optuna",
    "gradients",
    "latency",
    "load_extension",
    "load_space",
    "load_weights",
    "merge_studies",
    "open_study",
    "pair_weights",
    "parse_space",
    "plot_frontier",
    "predict_latency",
    "register",
    "rename_study",
    "score",
    "search",
    "stop_study",
    "study_status",
    "to_optuna",
    "train",
    "train_pairs",
    "write_report",
]
__version__: str
