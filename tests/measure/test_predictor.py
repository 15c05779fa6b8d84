"""Latency predictors: what they learn, their error, and their storage."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from explorer.errors import MeasurementError
from explorer.measure.predictor import calibration, predictor
from explorer.measure.predictor.features import count_features
from explorer.measure.predictor.predictor import Predictor, find_predictor, fit, save
from explorer.measure.result import LatencyEnvironment
from explorer.measure.settings import Setting
from explorer.space.search_space import load_space
from explorer.system.environment import describe_environment

SPACE = load_space("preact_variants.yaml")
HERE = LatencyEnvironment(describe_environment("cpu", 1), 1, "float32", "nchw", "eager", 1)


@pytest.fixture(scope="module")
def architectures():
    return [SPACE.architecture(derivation) for derivation in SPACE.sample(80, seed=2)]


def additive(architecture) -> float:
    """Return a simulated device on which operations, MACs and memory traffic each add their time in ms."""
    counted = count_features(architecture)
    return (
        0.1 + 0.02 * counted["network:operations"] + 2e-8 * counted["network:macs"] + 1e-7 * counted["network:traffic"]
    )


@pytest.fixture(scope="module")
def learnt(architectures):
    return fit(architectures, [additive(each) for each in architectures], HERE, ("preact_variants", "d"))


def test_learns_an_additive_device(learnt):
    """On an additive device almost every held-out and new network is predicted within 10%."""
    assert learnt.error.within_10_percent >= 0.95 and learnt.error.median < 0.03
    new = [SPACE.architecture(derivation) for derivation in SPACE.sample(40, seed=77)]
    off = [abs(ms / additive(each) - 1) for ms, each in zip(learnt.predict(new), new)]
    assert np.mean(np.array(off) <= 0.1) >= 0.9


def test_the_error_is_that_of_held_out_networks(architectures):
    """Times unrelated to the network cannot be predicted, and the stated error shows it."""
    noise = np.random.default_rng(0).uniform(1, 10, len(architectures))
    found = fit(architectures, list(noise), HERE, ("preact_variants", "d"))
    assert found.error.within_10_percent < 0.5 and found.error.p90 > 0.3


def test_the_measurements_are_stored(learnt, architectures):
    """The file contains the measurements, so that another model can be fitted to them."""
    kept = Predictor.from_json(learnt.to_json()).measured_ms
    assert kept == {each.digest: additive(each) for each in architectures} and learnt.networks == len(kept)
    assert fit(architectures, [kept[each.digest] for each in architectures], HERE, learnt.space) == learnt


def test_too_few_networks(architectures):
    """Fewer than twenty networks are rejected, because none can be held out."""
    with pytest.raises(MeasurementError, match="19 networks are too few"):
        fit(architectures[:19], [1.0] * 19, HERE, ("s", "d"))


def test_every_prediction_is_positive(learnt, architectures):
    """Even for a network far outside the measured range the predicted time is positive."""
    nothing = replace(learnt, intercept_ms=-1e6)
    assert nothing.predict_one(architectures[0]) == min(learnt.measured_ms.values()) / 2 > 0


def test_a_saved_predictor_is_loaded(learnt, architectures, tmp_path):
    """A predictor is loaded without loss, only for its own environment."""
    path = save(learnt, tmp_path)
    assert find_predictor(HERE, architectures[0], "d", tmp_path) == learnt
    save(replace(learnt, intercept_ms=99.0), tmp_path)
    assert [path] == list(tmp_path.iterdir())
    other = replace(HERE, batch=32)
    with pytest.raises(
        MeasurementError, match=r"no predictor .* batch 32, torch .* \(only 1 for other settings, devices or ver"
    ):
        find_predictor(other, architectures[0], "d", tmp_path)
    with pytest.raises(
        MeasurementError, match=r"\(none is stored in .*\); 'explorer latency --calibrate SPACE' fits one"
    ):
        find_predictor(other, architectures[0], "d", tmp_path / "empty")


def test_the_predictor_of_the_own_space_comes_first(learnt, architectures, tmp_path):
    """The predictor of the network's own space is preferred, then one that has seen all its kinds of operations, else
    none."""
    save(learnt, tmp_path)
    save(replace(learnt, space=("mine", "e")), tmp_path)
    assert find_predictor(HERE, architectures[0], "e", tmp_path).space == ("mine", "e")
    assert find_predictor(HERE, architectures[0], "unknown", tmp_path).space in (learnt.space, ("mine", "e"))
    stranger = load_space("published/botnet.yaml").architecture(0)
    with pytest.raises(MeasurementError, match="do not cover some of its operations"):
        find_predictor(HERE, stranger, "unknown", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: "[]",
        lambda text: text.replace('"format": 4', '"format": 2'),
        lambda text: text.replace('"intercept_ms": ', '"intercept_ms": NaN, "x": '),
        lambda text: json.dumps({**json.loads(text), "space": 5}),
        lambda text: json.dumps({**json.loads(text), "measured_ms": {"v1-0": 0}}),
        lambda text: json.dumps({**json.loads(text), "measured_ms": {}}),
    ],
)
def test_a_damaged_file_gives_one_line(learnt, architectures, tmp_path, damage):
    """A file that is no predictor is named, with a suggested fix."""
    path = save(learnt, tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(
        MeasurementError, match=r"not a predictor .* run 'explorer latency --calibrate SPACE' again"
    ) as caught:
        find_predictor(HERE, architectures[0], "d", tmp_path)
    assert str(path) in str(caught.value)


def test_the_folder_of_predictors(monkeypatch, tmp_path):
    """Predictors are stored in the user's data folder or in EXPLORER_PREDICTORS."""
    monkeypatch.delenv("EXPLORER_PREDICTORS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert predictor.predictors_folder() == tmp_path / "explorer" / "predictors"
    monkeypatch.setenv("EXPLORER_PREDICTORS", str(tmp_path / "mine"))
    assert predictor.predictors_folder() == tmp_path / "mine"


def test_calibration_measures_distinct_networks(monkeypatch):
    """Calibration measures the requested number of distinct networks of the space, and rejects a space that is too
    small."""
    asked = []

    def measured(architectures, settings, device, threads, cores, time_scale, on_latency):
        from types import SimpleNamespace

        asked.extend(architectures)
        return [
            SimpleNamespace(reported_ms=additive(each), reference_ms=1.0, contended=False, environment=HERE)
            for each in architectures
        ]

    monkeypatch.setattr(calibration, "measure_in_child", measured)
    made = calibration.calibrate(SPACE, Setting(), "cpu", networks=30)
    assert len({each.digest for each in asked}) == 30 == made.predictor.networks
    assert all(made.predictor.measured_ms[each.digest] == additive(each) for each in asked)
    assert made.predictor.space == (SPACE.name, SPACE.digest)
    with pytest.raises(MeasurementError, match="19 networks are too few"):
        calibration.calibrate(SPACE, Setting(), "cpu", networks=19)
    with pytest.raises(MeasurementError, match="he2016_orders has 5 distinct networks"):
        calibration.calibrate(load_space("he2016_orders.yaml"), Setting(), "cpu", networks=30)


def test_the_speed_of_the_device_is_taken_off(monkeypatch):
    """A device that slows down while networks are measured, and its reference with it, gives the same predictor as a
    steady one."""

    def calibrated(slowdowns):
        def measured(architectures, settings, device, threads, cores, time_scale, on_latency):
            from types import SimpleNamespace

            return [
                SimpleNamespace(
                    reported_ms=additive(each) * slowdown,
                    reference_ms=0.8 * slowdown,
                    contended=False,
                    environment=HERE,
                )
                for each, slowdown in zip(architectures, slowdowns, strict=True)
            ]

        monkeypatch.setattr(calibration, "measure_in_child", measured)
        return calibration.calibrate(SPACE, Setting(), "cpu", networks=24).predictor

    steady, slower = calibrated([1.0] * 24), calibrated([1.0] * 13 + [1.3] * 11)
    assert slower.measured_ms == pytest.approx(steady.measured_ms)
    assert slower.error.median == pytest.approx(steady.error.median, rel=0.01)


def test_calibration_repeats_contended_measurements(monkeypatch):
    """Contended networks are measured again at the end; an uncontended result is used, else the lower one."""
    passes, drawn = [], []

    def measured(architectures, settings, device, threads, cores, time_scale, on_latency):
        from types import SimpleNamespace

        passes.append([each.digest for each in architectures])
        drawn.extend(architectures)
        first = len(passes) == 1
        return [
            SimpleNamespace(
                reported_ms=additive(each) * (1.5 if first and place % 3 else 1.0 if first else 1.2),
                reference_ms=1.0,
                contended=place % (2 if first else 4) == 0,
                environment=HERE,
            )
            for place, each in enumerate(architectures)
        ]

    monkeypatch.setattr(calibration, "measure_in_child", measured)
    made = calibration.calibrate(SPACE, Setting(), "cpu", networks=24)
    assert passes[1] == passes[0][::2]
    by_digest = {each.digest: additive(each) for each in drawn}
    for place, (digest, latency) in enumerate(zip(passes[0], made.measured)):
        first, again = 1.5 if place % 3 else 1.0, place % 2 == 0
        still = again and place % 8 == 0
        assert latency.contended == still
        expected = min(first, 1.2) if still else 1.2 if again else first
        assert latency.reported_ms == pytest.approx(expected * by_digest[digest])


def test_predict_latency_in_python(monkeypatch, tmp_path, learnt, architectures):
    """``explorer.predict_latency`` answers in the given order with the predictor of this environment."""
    import explorer
    from explorer.measure.latency import present_environment

    monkeypatch.setenv("EXPLORER_PREDICTORS", str(tmp_path))
    here = present_environment("cpu", Setting())
    save(replace(learnt, environment=here), tmp_path)
    found = explorer.predict_latency(architectures[:5], device="cpu", space=SPACE)
    assert found == learnt.predict(architectures[:5])
    assert explorer.predict_latency([], device="cpu") == []
    assert Predictor.from_json(learnt.to_json()) == learnt
