"""Measures how fast the dashboard shows a study, and how much an open page slows a running search.

    python benchmarks/dashboard_timing.py paint --optuna-dashboard VENV/bin/optuna-dashboard
    python benchmarks/dashboard_timing.py search

VENV is a virtual environment of its own in which ``pip install optuna-dashboard`` was run. ``paint`` without it
measures the explorer alone.

``paint``: the same generated study (networks of a shipped space with their exact costs and generated accuracies) is
written for the explorer and for Optuna. Both servers run, and Streamlit with a page of one point, which is the least
that a Streamlit page takes. A visit is a new browser context with an empty cache. First paint is the time from the
start of navigation until two frames after a figure has all complete trials, as points or in the counts of a density,
and reacts to clicks. Beside it are the CPU-seconds of the server. Visits alternate; the first visit of each server,
which reads the database, is reported separately. Then the times from a click on a point to its trial's headline and to
the end of the page's work are measured. ``search``: a search with four workers, with and without an open page in turn:
wall time, and CPU-seconds of server and browser. Needs Chromium. Records of the output are in ``benchmarks/records``.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import sync_playwright

from explorer.costs.analytic import count_cost
from explorer.dashboard.launch import server_command, server_environment
from explorer.space.search_space import load_space
from explorer.store.database import open_for_writing
from explorer.store.schema import architectures, studies, trials
from explorer.store.studies import create_study
from explorer.system.environment import describe_environment

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 300_000  # milliseconds
PAINTED = """count => {
    for (const plot of document.querySelectorAll('.js-plotly-plot')) {
        const traces = plot._fullData || [];
        const counted = trace => trace.type === 'heatmap' && trace.text
            ? trace.text.reduce((sum, row) => sum + Array.from(row).reduce((all, one) => all + Number(one), 0), 0)
            : trace.x ? trace.x.length : 0;
        const held = traces.reduce((sum, trace) => sum + counted(trace), 0);
        if (held >= count && plot.querySelector('.nsewdrag')) return true;
    }
    return false;
}"""
POINTS = """() => {  // the places of points on the page, with their trials
    const plot = document.querySelector('.js-plotly-plot'), {xaxis, yaxis} = plot._fullLayout;
    const box = plot.getBoundingClientRect(), found = [];
    for (const trace of plot._fullData) {
        if (trace.mode !== 'markers' || !trace.customdata) continue;
        trace.customdata.forEach((trial, place) => found.push([
            Number(trial),
            box.x + xaxis._offset + xaxis.c2p(xaxis.d2c(trace.x[place])),
            box.y + yaxis._offset + yaxis.c2p(yaxis.d2c(trace.y[place])),
        ]));
    }
    return found;
}"""
HEADLINE_CHANGED = r"""before => {
    const texts = [...document.querySelectorAll('[data-testid=stText]')].map(one => one.innerText);
    return texts.find(text => /^trial \d+ · /.test(text)) !== before;
}"""
AT_REST = "() => document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def networks(count: int) -> list[tuple]:
    """Return (digest, JSON, choices, costs, accuracy) of ``count`` different networks."""
    space = load_space("se_dilation_bottleneck.yaml")
    source, found = random.Random(0), {}
    while len(found) < count:
        derivation = space.unrank(source.randrange(space.count()))
        network = space.architecture(derivation)
        costs = count_cost(network).to_dict()
        accuracy = 1 - 0.5 * (costs["macs"] / 1e5) ** -0.15 + source.gauss(0, 0.01)
        found[network.digest] = (network.digest, network.to_json(), dict(derivation.choices), costs, accuracy)
    return list(found.values())


def write_ours(url: str, made: list[tuple]) -> None:
    """Write a study of complete trials, each with a curve of ten epochs."""
    space = load_space("se_dilation_bottleneck.yaml")
    database = open_for_writing(url)
    create_study(
        database,
        "generated",
        space_name=space.name,
        space_text=space.text,
        fingerprint={"data": "digits", "epochs": 10},
        objectives={"accuracy": "max", "macs": "min"},
        seed=0,
    )
    rows = []
    for number, (digest, _, choices, costs, accuracy) in enumerate(made):
        epoch = {"train_loss": 1.0, "val_loss": 1.0, "val_top5": 1.0, "lr": 0.1, "seconds": 1.0}
        curve = [{**epoch, "epoch": k, "val_accuracy": accuracy * k / 10} for k in range(1, 11)]
        last = {"val_accuracy": accuracy, "val_loss": 1.0, "val_top5": 1.0, "epochs": 10, "seconds": 10.0}
        began = 1e9 + 10 * number
        rows.append(
            {
                "study_id": 1,
                "number": number,
                "state": "complete",
                "digest": digest,
                "choices": json.dumps(choices),
                "costs": json.dumps(costs),
                "objectives": json.dumps({"accuracy": accuracy, "macs": costs["macs"]}),
                "result": json.dumps({**last, "images_per_second": 1000.0, "curve": curve}),
                "seed": 0,
                "worker": "host:1:1:a",
                "started": began,
                "finished": began + 9,
                "revision": number + 1,
            }
        )

    def work(connection) -> None:
        connection.execute(architectures.insert(), [{"digest": each[0], "json": each[1]} for each in made])
        connection.execute(trials.insert(), rows)
        connection.execute(studies.update().values(revision=len(rows)))

    database.write(work)
    database.close()


def write_optuna(url: str, made: list[tuple]) -> None:
    """The same in Optuna's tables, its choices as categorical parameters and its costs as user attributes; past
    Optuna's own ``add_trials``, which writes 20,000 one by one in some ten minutes."""
    import optuna
    from optuna.distributions import CategoricalDistribution, distribution_to_json
    from optuna.storages._rdb import models

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options: dict[str, set[str]] = {}
    for _, _, choices, _, _ in made:
        for name, text in choices.items():
            options.setdefault(name, set()).add(text)
    kinds = {name: CategoricalDistribution(sorted(texts)) for name, texts in options.items()}
    described = {name: distribution_to_json(kind) for name, kind in kinds.items()}
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=storage, study_name="generated", directions=["maximize", "minimize"])
    rows: dict[type, list[dict]] = {}
    start, state = datetime(2026, 1, 1), optuna.trial.TrialState.COMPLETE
    for number, (_, _, choices, costs, accuracy) in enumerate(made):
        began = start + timedelta(seconds=10 * number)
        trial = {"trial_id": number + 1, "number": number, "study_id": 1, "state": state}
        trial |= {"datetime_start": began, "datetime_complete": began + timedelta(seconds=9)}
        rows.setdefault(models.TrialModel, []).append(trial)
        of = {"trial_id": number + 1}
        for objective, value in enumerate((accuracy, costs["macs"])):
            told = {"objective": objective, "value": value, "value_type": models.TrialValueModel.TrialValueType.FINITE}
            rows.setdefault(models.TrialValueModel, []).append(of | told)
        for name, text in choices.items():
            told = {"param_name": name, "param_value": kinds[name].to_internal_repr(text)}
            rows.setdefault(models.TrialParamModel, []).append(of | told | {"distribution_json": described[name]})
        params = {"key": "params", "value_json": json.dumps(costs["params"])}
        rows.setdefault(models.TrialUserAttributeModel, []).append(of | params)
    with storage.engine.begin() as connection:
        for model, own in rows.items():
            connection.execute(model.__table__.insert(), own)
    assert len(optuna.load_study(study_name="generated", storage=url).get_trials()) == len(made)
    storage.engine.dispose()


@contextmanager
def serving(command: list[str], environment: dict[str, str], port: int, path: str):
    """Start a server and yield its process once it answers."""
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
                break
            except OSError:
                assert server.poll() is None, f"{command[0]} ended by itself"
                time.sleep(0.2)
        yield server
    finally:
        server.terminate()
        server.wait(30)


def bare_command(folder: Path, port: int) -> list[str]:
    """Return the command of a Streamlit page with a figure of one point."""
    script = folder / "bare.py"
    script.write_text(
        "import streamlit as st\nfrom plotly import graph_objects as go\n"
        "st.plotly_chart(go.Figure(go.Scatter(x=[1], y=[1], mode='markers')))\n"
    )
    options = ["--server.headless=true", "--server.fileWatcherType=none", "--browser.gatherUsageStats=false"]
    return [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", *options,
            "--server.address=127.0.0.1"]  # fmt: skip


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def visit(browser, address: str, count: int, then=lambda page: None) -> float:
    """Return the seconds until the first paint of a visit."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    try:
        page.goto(address, wait_until="commit")
        page.wait_for_function(PAINTED, arg=count, polling="raf")
        seconds = page.evaluate(SETTLED) / 1000
        then(page)
        return seconds
    finally:
        context.close()


def detail_seconds(page, clicks: int) -> list[tuple[float, float]]:
    """Return the seconds from a click to its trial's headline and to the end of the page's work, for several points."""
    out = []
    page.wait_for_function(AT_REST, polling="raf")
    headline = page.get_by_test_id("stText").filter(has_text="trial ")
    points = sorted(page.evaluate(POINTS))
    for _, *place in points[:: max(1, len(points) // clicks)][:clicks]:
        page.mouse.move(*place)
        before = headline.first.inner_text()
        started = time.perf_counter()
        page.mouse.click(*place)
        try:
            page.wait_for_function(HEADLINE_CHANGED, arg=before, polling="raf", timeout=10_000)
            named = time.perf_counter() - started
            page.wait_for_function(AT_REST, polling="raf", timeout=10_000)
            out.append((named, time.perf_counter() - started))
        except Late:
            print("  a click chose nothing new")  # it may hit the point that is chosen already
        page.wait_for_timeout(300)
    return out


def report_details(browser, address: str, count: int, clicks: int) -> None:
    details: list[tuple[float, float]] = []
    visit(browser, address, count, lambda page: details.extend(detail_seconds(page, clicks)))
    for what, seconds in zip(("headline", "page at rest"), zip(*details)):
        middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{count:6,} trials, {len(seconds)} clicks to {what}: {middle:.2f} s ({low:.2f} to {high:.2f})")


def paint(options: argparse.Namespace) -> None:
    made = networks(max(options.trials))
    with tempfile.TemporaryDirectory() as new, sync_playwright() as driver:
        folder = options.folder or new
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for count in options.trials:
            ours, theirs = f"sqlite:///{folder}/ours{count}.db", f"sqlite:///{folder}/optuna{count}.db"
            if not Path(folder, f"ours{count}.db").exists():
                write_ours(ours, made[:count])
            ports = [free_port(), free_port()]
            servers = [serving(server_command(ports[0]), server_environment(ours), ports[0], "/_stcore/health")]
            addresses = [f"http://127.0.0.1:{ports[0]}"]
            if options.optuna_dashboard and count <= options.optuna_limit:
                if not Path(folder, f"optuna{count}.db").exists():
                    write_optuna(theirs, made[:count])
                command = [options.optuna_dashboard, theirs, "--host", "127.0.0.1", "--port", str(ports[1])]
                servers.append(serving(command, dict(os.environ), ports[1], "/"))
                addresses.append(f"http://127.0.0.1:{ports[1]}/dashboard/studies/1")
            names = ["explorer", "optuna-dashboard"][: len(servers)]
            ports.append(free_port())
            servers.append(
                serving(bare_command(Path(folder), ports[-1]), dict(os.environ), ports[-1], "/_stcore/health")
            )
            addresses.append(f"http://127.0.0.1:{ports[-1]}")
            names.append("Streamlit alone")
            running = [server.__enter__() for server in servers]
            try:
                times, spent = [], []
                for _ in range(options.visits + 1):
                    before = [cpu_of(server.pid) for server in running]
                    wanted = [count] * (len(addresses) - 1) + [1]
                    times.append([visit(browser, *each) for each in zip(addresses, wanted)])
                    spent.append([cpu_of(server.pid) - used for server, used in zip(running, before)])
                middles = []
                for name, own, cpu in zip(names, zip(*times), zip(*spent)):
                    later = ", ".join(f"{value:.2f}" for value in sorted(own[1:]))
                    middles.append(statistics.median(own[1:]))
                    print(
                        f"{count:7,} trials, {name}: first visit {own[0]:.2f} s; then {middles[-1]:.2f} s ({later});"
                        f" server CPU {cpu[0]:.2f} s, then {statistics.median(cpu[1:]):.2f} s"
                    )
                for name, other in zip(names[1:], middles[1:]):
                    print(f"{count:7,} trials: explorer / {name} {middles[0] / other:.2f}")
                report_details(browser, addresses[0], count, options.clicks)
                sys.stdout.flush()
            finally:
                assert running
                for server in servers:
                    server.__exit__(None, None, None)
        browser.close()


def cpu_of(root: int) -> float:
    """Return the CPU-seconds of a process and its descendants, including ended ones that were waited for."""
    parents, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        parents[pid], spent[pid] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    tree = {root}
    while grown := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    return sum(spent.get(pid, 0.0) for pid in tree)


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants (Linux's prctl(PR_SET_CHILD_SUBREAPER)), so that the CPU
    time of trainings whose parent has ended is counted here."""
    assert ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) == 0


def waited_for() -> float:
    """Return the CPU-seconds of all ended processes that this process has waited for, and of their descendants."""
    spent = os.times()
    return spent.children_user + spent.children_system


def search_once(command: list[str]) -> tuple[float, float]:
    """Return wall and CPU-seconds of a search with all its processes."""
    before, started = waited_for(), time.perf_counter()
    searching = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    assert searching.wait() == 0, "the search failed"
    wall = time.perf_counter() - started
    while True:  # its workers and their fork server, now this process's children
        try:
            os.waitpid(-searching.pid, 0)
        except ChildProcessError:
            return wall, waited_for() - before


def search(options: argparse.Namespace) -> None:
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        walls: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(2 * options.rounds):
            looked = bool(turn % 2)
            url = f"sqlite:///{folder}/search{turn}.db"
            command = [sys.executable, "-c", "from explorer.cli import main; main()", "search", "--space"]
            command += ["preact_variants.yaml", "--data", "digits", "--workers", "4", "--storage", url]
            command += ["--sampler", "random", "--trials"]
            search_once([*command, "4"])  # so that the page has drawn a study once: what its start costs is no part
            port = free_port()
            server = subprocess.Popen(
                server_command(port), env=server_environment(url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) if looked else None
            time.sleep(5)
            if browser is not None:
                page = browser.new_page(viewport={"width": 1280, "height": 1000})
                page.goto(f"http://127.0.0.1:{port}")
            time.sleep(10)
            # Under this process: the driver with its browser, the server, and the search that is not there yet.
            before = cpu_of(server.pid), cpu_of(os.getpid()) - waited_for()
            wall, trained = search_once([*command, str(options.search_trials)])
            served = cpu_of(server.pid) - before[0]
            watched = cpu_of(os.getpid()) - waited_for() - before[1] - served
            walls[looked].append(wall)
            print(
                f"page {'open' if looked else 'shut'}: {wall:.1f} s; CPU-seconds of the search {trained:.1f}, "
                f"of the server {served:.1f}, of the browser {watched:.1f}: {(served + watched) / trained:.1%} more",
                flush=True,
            )
            if browser is not None:
                browser.close()
            server.terminate()
            server.wait(30)
        print(f"open / shut, medians: {statistics.median(walls[True]) / statistics.median(walls[False]):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("paint", "search"))
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 5_000, 20_000, 100_000])
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--clicks", type=int, default=12, help="on points, for the time of a click")
    parser.add_argument("--optuna-dashboard", help="its program, in a virtual environment of its own")
    parser.add_argument("--optuna-limit", type=int, default=20_000, help="most trials to show in optuna-dashboard")
    parser.add_argument("--folder", help="keeps the databases of paint there, and takes those that are there already")
    parser.add_argument("--search-trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    environment = describe_environment("cpu", threads=1)
    print(f"{environment.device_name}, {environment.platform}, Python {environment.python}, load {os.getloadavg()}")
    {"paint": paint, "search": search}[options.what](options)


if __name__ == "__main__":
    main()
