"""Which trainings an experiment needs, and many of them at once, some of which are killed or stopped in the middle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from mnist_lab.config import NO_AUGMENTATION, AugmentConfig, TrainConfig
from mnist_lab.data.mnist import Mnist, stratified_subset
from mnist_lab.errors import RequestError
from mnist_lab.experiments.questions import EXPERIMENTS, Variant, differences
from mnist_lab.experiments.trainings import (
    EVALUATION_SECONDS,
    KILLED,
    Finished,
    Pool,
    Task,
    describe_failure,
    plan,
)
from mnist_lab.networks.compute import Compute, default_jobs
from mnist_lab.networks.models import build_model
from mnist_lab.training.runs import RunRecord, list_runs, locked, recipes_of, told_apart
from mnist_lab.training.trainer import Trainer
from tests.training.test_runs import CONFIG, change_run, make_whole_run
from tests.trainings import LONGER, ROOT, SMALL, in_background, repeat, run_of, same_weights, wait_for

needs_unix = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed and counted as Unix does it")
VARIANTS = (Variant("one", CONFIG), Variant("two", replace(CONFIG, dropout=0.4)))


def planned(outputs: Path, seeds: int = 1) -> list[Task]:
    return plan(VARIANTS, seeds, outputs)


def test_seed_by_seed_and_nothing_is_there(tmp_path: Path) -> None:
    tasks = planned(tmp_path / "nowhere", seeds=2)
    assert [(task.number, task.variant, task.config.seed) for task in tasks] == [
        (0, "one", 0),
        (1, "two", 0),
        (2, "one", 1),
        (3, "two", 1),
    ]
    assert all(task.run is None and task.unfinished is None for task in tasks)


def test_finished_runs_are_used_again(tmp_path: Path) -> None:
    make_whole_run(tmp_path, "a")
    make_whole_run(tmp_path, "b", replace(VARIANTS[1].config, seed=1))
    runs = [task.run.name if task.run else None for task in planned(tmp_path, seeds=2)]
    assert runs == ["a", None, None, "b"]


def test_the_newest_counts(tmp_path: Path) -> None:
    make_whole_run(tmp_path, "old", created="2026-11-22T10:00:00+00:00")
    make_whole_run(tmp_path, "new", created="2026-11-22T11:00:00+00:00")
    (task, _) = planned(tmp_path)
    assert task.run is not None
    assert task.run.name == "new"


@pytest.mark.parametrize("lost", ["model.pt", "history.csv"])
def test_a_folder_half_deleted_is_trained_anew(tmp_path: Path, lost: str) -> None:
    (make_whole_run(tmp_path, "a") / lost).unlink()
    assert planned(tmp_path)[0].run is None


@pytest.mark.parametrize(
    "changes",
    [
        {"split": {"fingerprint": "other"}},
        {"split": None},
        {"status": "interrupted"},
        {"status": "failed"},
        {"config": {"model": "1-layer"}},
        {"config": None},
    ],
)
def test_what_does_not_answer_the_question_is_left_alone(tmp_path: Path, changes: dict[str, object]) -> None:
    change_run(make_whole_run(tmp_path, "a"), **changes)
    (task, _) = planned(tmp_path)
    assert task.run is None
    assert task.unfinished is None


def test_a_stopped_run_goes_on_unless_somebody_trains_it(tmp_path: Path) -> None:
    folder = make_whole_run(tmp_path, "a", status="running")
    assert planned(tmp_path)[0].unfinished == folder
    with locked(folder):
        assert planned(tmp_path)[0].unfinished is None


def test_two_variants_of_one_configuration_never_go_on_in_one_folder(tmp_path: Path) -> None:
    folder = make_whole_run(tmp_path, "a", status="running")
    twins = (Variant("one", CONFIG), Variant("twin", CONFIG))
    assert [task.unfinished for task in plan(twins, 1, tmp_path)] == [folder, None]


AUGMENTED = replace(CONFIG, augment=AugmentConfig(), epochs=4)
PLAIN = replace(CONFIG, recipe="plain")

WRITTEN_TWICE = [
    (CONFIG, replace(CONFIG, dropout=CONFIG.architecture.dropout, hidden=CONFIG.architecture.hidden)),
    (CONFIG, replace(CONFIG, epoch_size=CONFIG.train_size)),
    (CONFIG, replace(CONFIG, plain_epochs=1)),
    (CONFIG, replace(CONFIG, patience=CONFIG.epochs - 1)),
    (CONFIG, replace(CONFIG, augment=NO_AUGMENTATION)),
    (replace(AUGMENTED, augment=None), replace(AUGMENTED, plain_epochs=4)),
    (AUGMENTED, replace(AUGMENTED, augment=AugmentConfig(erase_area=(0.1, 0.2)))),
    (PLAIN, replace(PLAIN, weight_decay=0.5)),
]
TWO_RECIPES = [
    (CONFIG, replace(CONFIG, dropout=0.5)),
    (CONFIG, replace(CONFIG, epoch_size=CONFIG.train_size + 1)),
    (CONFIG, replace(CONFIG, patience=CONFIG.epochs - 2)),
    (CONFIG, replace(CONFIG, weight_decay=0.5)),
    (CONFIG, replace(CONFIG, learning_rate=CONFIG.learning_rate + 1e-12)),
    (AUGMENTED, replace(AUGMENTED, plain_epochs=3)),
    (replace(AUGMENTED, augment=AugmentConfig(erasing=0.1)),
     replace(AUGMENTED, augment=AugmentConfig(erasing=0.1, erase_area=(0.1, 0.2)))),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), WRITTEN_TWICE)
def test_configurations_that_lead_to_the_same_network_are_equal(
    first: TrainConfig, second: TrainConfig, mnist: Mnist, compute: Compute
) -> None:
    assert first.canonical == second.canonical
    assert first.canonical.canonical == first.canonical
    assert differences([first, second]) == {}
    weights = []
    for config in (first, second):
        config = replace(config, train_size=300, epoch_size=config.epoch_size and 300)
        digits = stratified_subset(mnist.train, config.train_size)
        model = compute.place(build_model(config.architecture, config.seed))
        few = stratified_subset(mnist.validation, 100)
        weights.append(Trainer(model, digits, few, config, compute).fit().best_weights)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize(("first", "second"), TWO_RECIPES)
def test_configurations_that_differ_are_shown_to_differ(first: TrainConfig, second: TrainConfig) -> None:
    assert first.canonical != second.canonical
    (values,) = differences([first, second]).values()
    assert values[0] != values[1]
    assert replace(first, seed=1).canonical != first.canonical


# -------------------------------------------------------------------------------------------------------- time


class Timed(Pool):
    """A pool that answers at once: an epoch of 1-layer takes 10 s, of any other network 20 s."""

    def __init__(self, at_once: int) -> None:
        super().__init__(at_once, tasks=20)
        self.measured: list[str] = []

    def _results(self, function: Callable[..., Any], calls: Mapping[Any, Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
        self.measured = [config.model for (config,) in calls.values()]
        yield from ((key, 10.0 if config.model == "1-layer" else 20.0) for key, (config,) in calls.items())


def test_the_estimate_divides_the_trainings_but_never_a_single_one() -> None:
    tasks = [Task(number, "one", replace(CONFIG, seed=number)) for number in range(5)]
    each = 3 * 10.0 + EVALUATION_SECONDS
    assert Timed(1).estimate(tasks) == 5 * each
    assert Timed(2).estimate(tasks) == 5 * each / 2
    assert Timed(100).estimate(tasks) == each
    longer = Task(5, "longer", replace(CONFIG, model="2-layer", epochs=50))
    assert Timed(2).estimate([*tasks, longer]) == 50 * 20.0 + EVALUATION_SECONDS


@pytest.mark.parametrize(
    ("name", "measured"),
    [("depth", ["1-layer", "1-layer", "2-layer", "2-layer", "3-layer", "3-layer"]), ("data-size", ["3-layer"] * 4)],
)
def test_every_kind_of_epoch_is_measured_once_on_every_process(name: str, measured: list[str]) -> None:
    every = product(EXPERIMENTS[name].variants(4), range(3))
    tasks = [Task(n, one.name, replace(one.config, seed=seed)) for n, (one, seed) in enumerate(every)]
    pool = Timed(2)
    pool.estimate(tasks)
    assert pool.measured == measured


# ----------------------------------------------------------------------------------------------------- recipes


def test_runs_are_taken_together_by_recipe(tmp_path: Path) -> None:
    make_whole_run(tmp_path, "a", CONFIG, created="2026-11-22T10:00:00+00:00")
    make_whole_run(tmp_path, "b", replace(CONFIG, seed=1), created="2026-11-22T10:01:00+00:00")
    make_whole_run(tmp_path, "c", replace(CONFIG, seed=5, learning_rate=0.1), created="2026-11-22T10:02:00+00:00")
    again = make_whole_run(tmp_path, "d", CONFIG, created="2026-11-22T10:03:00+00:00")
    make_whole_run(tmp_path, "e", CONFIG, created="2026-11-22T10:04:00+00:00", status="interrupted")
    recipes = recipes_of(list_runs(tmp_path)[0])
    assert [recipe.name for recipe in recipes] == ["1-layer a", "1-layer b"]
    assert [list(recipe.runs) for recipe in recipes] == [[0, 1], [5]]
    assert recipes[0].runs[0].folder == again  # the newest that is finished


def test_a_recipe_that_cannot_be_understood_is_refused(tmp_path: Path) -> None:
    change_run(make_whole_run(tmp_path, "a"), config={"model": "x"})
    with pytest.raises(RequestError, match="configuration can't be used"):
        recipes_of(list_runs(tmp_path)[0])


def test_only_equal_names_get_letters() -> None:
    assert told_apart(["x", "y", "x"]) == ["x a", "y", "x b"]
    assert told_apart([]) == []


# ------------------------------------------------------------------------------------------- many at once


def tasks_of(*configs: TrainConfig) -> list[Task]:
    return [Task(number, f"variant {number}", config) for number, config in enumerate(configs)]


def processes() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid is not None]


def by_number(finished: Iterable[Finished]) -> dict[int, Finished]:
    ended = list(finished)
    assert len({one.number for one in ended}) == len(ended)
    return {one.number: one for one in ended}


def test_as_many_at_once_as_there_are_cores() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)
    threads = Pool(2, 1).threads
    assert threads is not None
    assert 1 <= threads <= max(1, (os.cpu_count() or 1) // 2)


def test_what_is_shown_of_a_training() -> None:
    (task,) = tasks_of(replace(SMALL, epochs=4))
    pool = Pool(1, 1)
    assert pool.progress_of(task) is None
    for epochs, shown in ((0, (0.0, "epoch 1/4")), (1, (0.25, "epoch 1/4")), (1.5, (0.375, "epoch 2/4")),
                          (4, (1.0, "epoch 4/4")), (float("inf"), (1.0, "drawing its pictures"))):  # fmt: skip
        pool.epochs[0] = epochs
        assert pool.progress_of(task) == shown


def test_any_failure_takes_one_line() -> None:
    assert describe_failure(ValueError("two\nlines")) == "ValueError: two lines"
    assert describe_failure(RequestError("found", "next")) == "found; next"


@pytest.mark.integration
def test_a_pool_trains_to_the_bits_of_one_process_reports_failures_and_leaves_no_process(tmp_path: Path) -> None:
    tasks = tasks_of(SMALL, replace(SMALL, learning_rate=1e6, weight_decay=1e3), replace(SMALL, seed=1))
    before = dict(os.environ)
    with closing(Pool(2, 3)) as pool:
        seconds = pool.estimate(tasks)
        measuring = processes()
        assert len(measuring) == 2
        results = pool.train(tasks, tmp_path)
        first = next(results)
        assert processes() == measuring  # those that were timed train
        done = by_number([first, *results])
        assert not processes()
        assert pool.progress_of(tasks[2]) == (1.0, "drawing its pictures")
    assert os.environ == before
    assert seconds is not None
    assert 0 < seconds < 300
    assert done[1].failure is not None
    assert "the training loss became" in done[1].failure
    alone = repeat(run_of(done[2]), tmp_path / "alone")
    assert same_weights(run_of(done[2]), alone)
    assert alone.to_json()["machine"]["threads"] == run_of(done[2]).to_json()["machine"]["threads"] == pool.threads


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """What a pool of one process has trained."""
    with closing(Pool(1, 1)) as pool:
        (done,) = pool.train(tasks_of(SMALL), tmp_path_factory.mktemp("pool"))
    return run_of(done)


@pytest.mark.integration
def test_one_at_a_time_takes_torchs_threads_and_nothing_starts_once_stopped(trained: RunRecord, tmp_path: Path) -> None:
    assert trained.to_json()["machine"]["threads"] == torch.get_num_threads()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with closing(Pool(1, 1)) as pool:
        (refused,) = pool.train(tasks_of(SMALL), tmp_path / "file")
        pool.stop()
        (stopped,) = pool.train(tasks_of(SMALL), tmp_path / "runs")
    assert refused.failure is not None
    assert "a file stands where a folder should be" in refused.failure
    assert stopped == Finished(0)
    assert not (tmp_path / "runs").exists()


@pytest.mark.integration
def test_the_neighbours_of_mistakes_are_drawn_once_somebody_asks(trained: RunRecord) -> None:
    """They take seconds for each of an experiment's many runs."""
    folder = trained.folder
    assert not {"neighbours.png", "training_features.z"} & {path.name for path in folder.iterdir()}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Not in the folder, or damaged: neighbours.png." in page
    assert f"They are drawn by: python main.py evaluate --run {folder.name}" in page
    assert main.main(["evaluate", "--run", folder.name, "--outputs", str(folder.parent)]) == 0
    assert (folder / "neighbours.png").exists()
    assert "Not in the folder" not in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.integration
def test_a_damaged_state_costs_the_resuming_not_the_training(tmp_path: Path) -> None:
    folder = make_whole_run(tmp_path, "stopped", SMALL, status="running")
    (folder / "training_state.pt").write_bytes(b"torn")
    with closing(Pool(1, 1)) as pool:
        (again,) = pool.train([Task(0, "one", SMALL, unfinished=folder)], tmp_path)
    assert run_of(again).folder != folder


# ------------------------------------------------------------------------------------------ killed, interrupted


@pytest.mark.integration
@needs_unix
def test_a_killed_process_costs_time_only(tmp_path: Path) -> None:
    def kill_one() -> None:
        wait_for(lambda: list(tmp_path.glob("*/training_state.pt")))
        os.kill(processes()[0], signal.SIGKILL)

    killer = in_background(kill_one)
    with closing(Pool(2, 3)) as pool:
        done = by_number(pool.train(tasks_of(LONGER, replace(SMALL, seed=1), SMALL), tmp_path))
    killer.join()
    assert [run_of(done[number]).seed for number in range(3)] == [0, 1, 0]
    assert len(list(tmp_path.glob("*/run.json"))) == 3  # whoever was killed went on in its own folder
    assert any(len(run_of(one).to_json()["sessions"]) > 1 for one in done.values())
    assert not processes()


@pytest.mark.integration
@needs_unix
def test_a_process_killed_while_it_has_nothing_to_do_is_replaced(tmp_path: Path) -> None:
    with closing(Pool(2, 1)) as pool:
        pool.estimate(tasks_of(SMALL))
        for pid in processes():
            os.kill(pid, signal.SIGKILL)
        (done,) = pool.train(tasks_of(SMALL), tmp_path)
    assert run_of(done).seed == 0


@pytest.mark.integration
@needs_unix
def test_killed_again_what_is_not_finished_has_failed(tmp_path: Path) -> None:
    endless = replace(SMALL, epochs=400, patience=400)
    tasks = tasks_of(SMALL, endless, replace(endless, seed=1))
    killed: list[int] = []

    def kill_twice() -> None:
        wait_for(lambda: list(tmp_path.glob("*/model_*.pt")) and len(list(tmp_path.glob("*/training_state.pt"))) == 2)
        for _ in range(2):
            wait_for(
                lambda: len(set(processes()) - set(killed)) == 2 and all(pool.progress_of(one) for one in tasks[1:])
            )
            killed.extend(processes())
            os.kill(killed[-1], signal.SIGKILL)

    with closing(Pool(2, 3)) as pool:
        killer = in_background(kill_twice)
        done = by_number(pool.train(tasks, tmp_path))
    killer.join()
    assert run_of(done[0]).seed == 0
    assert {done[number].failure for number in (1, 2)} == {KILLED}
    assert not processes()


@pytest.mark.integration
def test_a_caller_who_leaves_leaves_no_process_behind(tmp_path: Path) -> None:
    with closing(Pool(2, 2)) as pool:
        results = pool.train(tasks_of(SMALL, replace(LONGER, epochs=50)), tmp_path)
        assert run_of(next(results)).seed == 0
        results.close()
        assert not processes()


def alive(group: int) -> list[str]:
    """The commands of the processes of a group that are still there; one that only waits to be counted is not."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(maxsplit=2) for line in listed.splitlines())
    return [row[-1] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


@contextmanager
def started_experiment(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """An experiment in a session and a temporary folder of its own; in the end nothing of it is left."""
    (folder / "tmp").mkdir(exist_ok=True)
    words = ["main.py", "experiment", "depth", "--epochs", "1", *options, "--outputs", str(folder / "outputs")]
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=os.environ | {"TMPDIR": str(folder / "tmp")}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.integration
@needs_unix
@pytest.mark.parametrize(
    ("jobs", "sent", "moment"),
    [("2", signal.SIGKILL, "timing"), ("2", signal.SIGTERM, "training"), ("1", signal.SIGKILL, "training")],
)
def test_nothing_outlives_a_killed_experiment(jobs: str, sent: int, moment: str, tmp_path: Path) -> None:
    with started_experiment(tmp_path, "--seeds", "5", "--jobs", jobs) as process:
        if moment == "timing":
            wait_for(lambda: any("spawn_main" in command for command in alive(process.pid)))
        else:
            wait_for(lambda: list(tmp_path.glob("outputs/*/run.json")))
        process.send_signal(sent)
        process.wait()
        wait_for(lambda: not alive(process.pid), seconds=30)
    assert len(list(tmp_path.glob("outputs/*/run.json"))) <= int(jobs)  # none began after the end
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.integration
@needs_unix
@pytest.mark.parametrize("later", [0.0, 1.5])  # while the processes of the pool start, and while they are at work
def test_ctrl_c_while_the_first_batches_are_timed_takes_one_line(later: float, tmp_path: Path) -> None:
    with started_experiment(tmp_path, "--seeds", "1", "--jobs", "2") as process:
        wait_for(lambda: any("spawn_main" in command for command in alive(process.pid)))
        time.sleep(later)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to every process of the group
        _, errors = process.communicate(timeout=60)
        wait_for(lambda: not alive(process.pid), seconds=30)
    assert process.returncode == 130
    assert errors == "interrupted\n"


@pytest.mark.integration
@needs_unix
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    with started_experiment(tmp_path, "--seeds", "1", "--jobs", "2") as process:
        wait_for(lambda: len(list(tmp_path.glob("outputs/*/run.json"))) == 2)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        wait_for(lambda: not alive(process.pid), seconds=10)
    assert process.returncode == 130
    assert errors == ""
