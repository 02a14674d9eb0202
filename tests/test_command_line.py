"""The commands, as real processes: exit statuses, one-line refusals, killed and interrupted trainings."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.commands import COMMANDS, SETTLED
from mnist_lab.training.runs import read_run
from tests.processes import ROOT, run, start, wait_for
from tests.training.test_runs import make_run

TINY = ["--model", "1-layer", "--train-size", "4000", "--batch-size", "100", "--workers", "0"]
REMAINS = {"run.json", "summary.json", "training.lock"}
"""What every run's folder holds, however it ended."""
THREE_EPOCHS = [*TINY, "--augment", "--erasing", "0.2", "--epochs", "3", "--seed", "5"]


def only_folder(outputs: Path) -> Path:
    (folder,) = (path for path in outputs.iterdir() if path.is_dir())
    return folder


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(read_run(folder))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished run of three epochs, augmented, and what its command printed."""
    outputs = tmp_path_factory.mktemp("trained")
    return outputs, run("train", *THREE_EPOCHS, "--outputs", outputs)


@pytest.mark.integration
def test_training_leaves_all_that_was_promised(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    outputs, done = trained
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    folder = only_folder(outputs)
    assert done.stdout.splitlines()[-1] == str(folder)
    content = content_of(folder)
    stamp, val, test = folder.name[:19], content["val_accuracy"], content["test_accuracy"]
    model_file = f"model_{stamp}_val{100 * val:.2f}_test{100 * test:.2f}.pt"
    pictures = {"history.png", "confusion_counts.png", "confusion_percent.png", "mistakes.png", "saliency.png"}
    pictures |= {"reliability.png", "unsure.png", "neighbours.png", "film.webp"}
    data = {model_file, *REMAINS, "history.csv", "report.html", "film.npz", "training_features.z"}
    assert {path.name for path in folder.iterdir()} == data | pictures
    assert folder.name == f"{stamp}_1-layer-aug"
    promised = (
        "model augment seed config epochs_run best_epoch stopped_early val_accuracy test_accuracy train_seconds "
        "images_per_second parameters device status versions machine split command sessions"
    )
    assert set(promised.split()) <= content.keys()
    assert (content["status"], content["epochs_run"], content["augment"], content["seed"]) == ("finished", 3, True, 5)
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    columns = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds"
    assert rows[0] == f"{columns},fit_loss,fit_right"  # of its few training digits
    assert len(rows) == 4
    results = content["results"]["test"]
    assert sum(map(sum, results["confusion"])) == 10_000
    assert results["interval_95"][0] < results["accuracy"] < results["interval_95"][1]


@pytest.mark.integration
@pytest.mark.parametrize(
    "command", [["data"], ["train", "--model", "1-layer", "--train-size", "500", "--epochs", "1", "--workers", "0"]]
)
def test_a_backend_inherited_from_a_notebook_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    done = run(*command, "--outputs", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(only_folder(tmp_path).glob("*.png"))) >= 4


def other_threads(folder: Path) -> str:
    """Another number of threads than a run computed with: with it, its last bits would be others."""
    return "1" if content_of(folder)["machine"]["threads"] > 1 else "2"


@pytest.mark.integration
def test_the_saved_command_repeats_the_run_to_the_bit(
    trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder = only_folder(trained[0])
    words = content_of(folder)["command"].split()
    assert words[:3] == ["python", "main.py", "train"]
    done = run(*words[2:], "--outputs", tmp_path, threads=other_threads(folder))
    assert done.returncode == 0, done.stderr
    first, second = weights_of(folder), weights_of(only_folder(tmp_path))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.integration
def test_a_killed_run_resumes_to_the_same_bits(
    trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    process = start("train", *THREE_EPOCHS, "--outputs", tmp_path)
    wait_for(lambda: list(tmp_path.glob("*/training_state.pt")), process)
    process.kill()
    process.communicate()
    folder = only_folder(tmp_path)
    assert content_of(folder)["status"] == "running"
    assert "stopped" in run("runs", "--outputs", tmp_path).stdout

    done = run("train", "--resume", "latest", "--outputs", tmp_path, threads=other_threads(folder))
    assert done.returncode == 0, done.stderr
    assert "Resuming after epoch" in done.stdout
    assert done.stdout.splitlines()[-1] == str(folder)
    assert only_folder(tmp_path) == folder
    assert {path.name for path in folder.iterdir()} == {
        path.name if path.suffix != ".pt" else content_of(folder)["model_file"]
        for path in only_folder(trained[0]).iterdir()
    }
    expected, found = weights_of(only_folder(trained[0])), weights_of(folder)
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    again = run("train", "--resume", folder.name, "--outputs", tmp_path)
    assert again.returncode == 1
    assert "is finished and has been evaluated on the test digits" in again.stderr


@pytest.mark.integration
def test_a_run_killed_in_its_first_epoch_starts_over_in_place(tmp_path: Path) -> None:
    process = start("train", "--model", "3-layer", "--epochs", "4", "--outputs", tmp_path)
    wait_for(lambda: list(tmp_path.glob("*/training.lock")), process)
    wait_for(lambda: list(tmp_path.glob("*/run.json")), process)
    if sys.platform != "win32":  # on a busy machine, the epoch could end before the next program has asked
        process.send_signal(signal.SIGSTOP)

    second = run("train", "--resume", "latest", "--outputs", tmp_path)
    assert second.returncode == 1
    assert "is being trained by another program" in second.stderr
    assert len(second.stderr.splitlines()) == 1

    process.kill()
    process.communicate()
    folder = only_folder(tmp_path)
    content = content_of(folder)
    content["config"] |= {"train_size": 2000, "model": "1-layer"}  # so that the test is short
    content["model"] = "1-layer"
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    done = run("train", "--resume", folder, "--outputs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert content_of(folder)["status"] == "finished"


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="Windows can't send Ctrl-C to one process")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path, workers: str) -> None:
    process = start("train", *TINY[:-1], workers, "--epochs", "500", "--patience", "500", "--outputs", tmp_path)
    wait_for(lambda: list(tmp_path.glob("*/training_state.pt")), process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to every process of the group
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    folder = only_folder(tmp_path)
    assert stdout.splitlines()[-1] == str(folder)
    content = content_of(folder)
    assert content["status"] == content["stop_reason"] == "interrupted"
    assert content["stopped_early"] is True
    assert content["best_epoch"] <= content["epochs_run"] < 500
    assert weights_of(folder)
    assert (folder / "history.png").exists()
    assert not (folder / "training_state.pt").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows can't send Ctrl-C to one process")
def test_impatient_ctrl_c_still_leaves_a_whole_folder(tmp_path: Path) -> None:
    process = start("train", "--model", "3-layer", "--workers", "0", "--epochs", "9", "--outputs", tmp_path)
    wait_for(lambda: list(tmp_path.glob("*/training.lock")), process)
    time.sleep(4)  # into the first epoch
    process.send_signal(signal.SIGINT)
    wait_for(lambda: list(tmp_path.glob("*/model_*.pt")), process)
    process.send_signal(signal.SIGINT)  # evaluated already: the folder is completed all the same
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "its folder is being completed" in stdout
    assert "its first epoch was cut short after" in stdout
    content = content_of(only_folder(tmp_path))
    assert (content["status"], content["epochs_run"]) == ("interrupted", 1)
    assert content["images_per_second"] < 54_000 / content["train_seconds"]
    assert (only_folder(tmp_path) / "saliency.png").exists()
    again = run("resume", "--outputs", tmp_path)
    assert again.returncode == 1


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes to imitate a full disk with")
def test_a_full_disk_ends_in_one_line_with_the_results_shown(tmp_path: Path) -> None:
    code = (
        "import resource, sys, main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"  # no file may grow beyond 100 kB
        f"sys.exit(main.main({['train', *TINY, '--epochs', '2', '--outputs', str(tmp_path)]!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "file too large; free some space" in done.stderr
    assert done.stdout.count("training goes on, but can't be resumed") == 1
    assert "\nTest 9" in done.stdout
    assert "95 % interval" in done.stdout
    assert {path.name for path in only_folder(tmp_path).iterdir()} == REMAINS - {"summary.json"}  # nothing half-written


@pytest.mark.integration
def test_a_disk_that_takes_nothing_leaves_no_folder(tmp_path: Path) -> None:
    code = (
        "import resource, sys, main; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        f"sys.exit(main.main({['train', *TINY, '--outputs', str(tmp_path)]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert "free some space" in line
    assert list(tmp_path.iterdir()) == []


REFUSALS = [
    (["train", "--model", "9-layer"], "there is no model '9-layer'; choose one of 1-layer, 2-layer, 3-layer"),
    (["train", "--epochs", "0"], "--epochs is 0; give a whole number from 1"),
    (["train", "--epochs", "-4"], "--epochs is -4"),
    (["train", "--epochs", "many"], "invalid int value: 'many'"),
    (["train", "--seed", "lucky"], "invalid int value: 'lucky'"),
    (["train", "--seed", "-1"], "--seed is -1"),
    (["train", "--batch-size", "0"], "--batch-size is 0"),
    (["train", "--workers", "-1"], "--workers is -1"),
    (["train", "--threads", "0"], "--threads is 0; give a whole number from 1 to 1,024"),
    (["train", "--recipe", "secret"], "there is no recipe 'secret'"),
    (["train", "--without", "rotation"], "--without needs --augment"),
    (["train", "--erasing", "0.5"], "--erasing needs --augment"),
    (["train", "--augment", "--erasing", "2"], "--erasing is 2.0; give a number from 0 to 1"),
    (["train", "--plain-epochs", "1"], "--plain-epochs needs --augment"),
    (["train", "--augment", "--without", "rotation", "--rotation", "5"], "--without rotation is undone by --rotation"),
    (
        ["train", "--augment", "--without", "rotation", "--without", "affine", "--without", "pen"],
        "nothing is left of the augmentation; omit --augment",
    ),
    (["train", "--augment", "--epochs", "2", "--plain-epochs", "2"], "nothing is left of the augmentation"),
    (["train", "--model", ""], "there is no model ''"),
    (["train", "--recipe", "plain", "--weight-decay", "0.1"], "--weight-decay has no effect with --recipe plain"),
    (["train", "--resume", "latest", "--seed", "0"], "--seed has no effect with train --resume"),
    (["train", "--resume", "latest", "--augment", "--epochs", "3"], "--augment, --epochs have no effect with train"),
    (["train", "--resume", "latest", "--no-batch-norm"], "a run keeps its settings; omit it"),
    (["train", "--resume", "nowhere"], "there is no run 'nowhere'"),
    (["train", "--resume", "latest"], "there is no unfinished run"),
    (["evaluate", "--run", "nowhere"], "there is no run 'nowhere'"),
    (["evaluate"], "there is no finished run"),
    (["show", "--run", "best"], "there is no finished run"),
    (["models", "--model", "9-layer"], "there is no model '9-layer'"),
    (["runs", "--sort", "beauty"], "there is no --sort 'beauty'"),
    (["runs", "--by-recipe", "--sort", "val"], "--sort has no effect with --by-recipe; omit it"),
    (["runs", "--by-recipe", "--limit", "20"], "--limit has no effect with --by-recipe"),
    (["dance"], "there is no command 'dance'; choose one of train, runs"),
    (["trian"], "there is no command 'trian'; did you mean train?"),
    (["train", "--recipe", "plian"], "there is no recipe 'plian'; did you mean plain?"),
    (["train", "--device", "gpu"], "there is no --device 'gpu'; did you mean cpu?"),
    (["experiment", "dept"], "there is no experiment 'dept'; did you mean depth?"),
    (["runs", "--sort", "tset"], "there is no --sort 'tset'; did you mean test?"),
    (["runs", "--csv", "--json"], "argument --json: not allowed with argument --csv"),
    (["show", "lastest"], "did you mean latest?"),
    (["delete", "best"], "there is no finished run"),
    (["lates"], "there is no command 'lates'; choose one of train, runs"),  # not evaluate
    (["--dance"], "unrecognized arguments: --dance"),
    (["train", "--modle", "1-layer"], "unrecognized arguments: --modle 1-layer; did you mean --model?"),
    (["runs", "--nothing=like"], "unrecognized arguments: --nothing=like; see python main.py runs --help"),
    (["experiment"], "the following arguments are required: NAME; see"),
]


@pytest.mark.parametrize("name", sorted(SETTLED))
def test_a_run_that_goes_on_takes_no_recipe(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    option = "--no-batch-norm" if name == "batch_norm" else f"--{name.replace('_', '-')}"
    words = {"augment": [], "batch_norm": [], "without": ["pen"], "model": ["1-layer"], "recipe": ["plain"]}
    value = words.get(name, ["0"])
    assert main.main(["train", "--resume", "latest", option, *value, "--outputs", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"{option} has no effect with train --resume")


def test_every_option_of_train_is_a_recipe_or_goes_with_a_run_that_goes_on() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    COMMANDS["train"].add_options(parser)
    options = vars(parser.parse_args([]))
    assert options.keys() - set(SETTLED) <= {"resume", "workers", "device"}
    assert {options[name] for name in SETTLED} == {None}  # so that what is given is known


@pytest.mark.parametrize(
    ("arguments", "expected"), REFUSALS, ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else ""
)
def test_refusals_take_one_line_and_status_1(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--outputs", str(tmp_path)] if arguments[0] != "--dance" else []
    assert main.main([*arguments, *where]) == 1
    captured = capsys.readouterr()
    assert expected in captured.err
    assert len(captured.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


STRANGE = ["x" * 300, "~nosuchuser/x", "a\0b", "\ud800", "\udcff", "[/b]\x1b[2J", ":bomb:", ""]


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
@pytest.mark.parametrize("words", ["report", "show --run", "compare best", "report --outputs", "runs --outputs"])
def test_no_name_is_too_strange(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "outputs", "one")
    status = main.main([*words.split(), name])
    captured = capsys.readouterr()
    assert (status, len(captured.err.splitlines())) in ((0, 0), (1, 1))
    assert "can't use" not in captured.err  # what nobody reckoned with
    assert all(character.isprintable() or character == "\n" for character in captured.out + captured.err)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no colons in names")
@pytest.mark.parametrize(("name", "folder"), [("~/x", "{}/x"), (":bomb:", ":bomb:")])
def test_the_folder_that_is_named_is_the_one_that_is_made(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main.main(["report", "--outputs", name]) == 0
    (shown,) = capsys.readouterr().out.splitlines()
    assert shown == str(Path(folder.format(tmp_path), "index.html"))
    assert Path(shown).is_file()


@pytest.mark.integration
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_named_pipes_are_not_waited_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "one")
    (tmp_path / "my_digits.jsonl").write_text('{"label": 1, "strokes": [[[9, 9], [200, 200]]]}\n', encoding="utf-8")
    (tmp_path / "stray.png").mkdir()
    pipes = ["index.html", "my_digits_scores.json", "pipe", "one/report.html", "one/history.png", "stray.png/run.json"]
    for name in pipes:
        os.mkfifo(tmp_path / name)
    for words in (["runs"], ["show", "--run", "one"], ["report", "one"], ["report", "pipe"], ["report"]):
        done = run(*words, "--outputs", tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == ((1, 1) if "pipe" in words else (0, 0)), done.stderr
        assert "history.png" not in done.stdout
    assert (folder / "report.html").is_file()


ASTRAY = ["train", "--learning-rate", "1e6", "--no-batch-norm", "--workers", "0"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "1-layer", "--train-size", "1000", "--batch-size", "1000"],
        ["--recipe", "plain", "--hidden", "4096", "--train-size", "100", "--batch-size", "100", "--epochs", "1"],
    ],
)
def test_a_training_that_diverges_ends_in_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*ASTRAY, *arguments, "--outputs", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "the validation loss became" in error or "the network's answers are no longer finite numbers" in error
    assert "with a smaller --learning-rate" in error
    assert len(error.splitlines()) == 1
    content = content_of(only_folder(tmp_path))
    assert content["status"] == "failed"
    assert error.startswith(content["failure"])
    assert {path.name for path in only_folder(tmp_path).iterdir()} - {"history.csv"} == {*REMAINS, "report.html"}


@pytest.mark.integration
def test_a_refusal_as_a_process(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    done = run("train", *TINY, "--outputs", file)
    assert done.returncode == 1
    assert "a file stands where a folder should be" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.integration
def test_evaluate_restores_missing_pictures_and_agrees(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    outputs, _ = trained
    folder = only_folder(outputs)
    before = (folder / "history.png").read_bytes()
    for name in ("history.png", "mistakes.png"):
        (folder / name).unlink()
    done = run("evaluate", "--run", "best", "--outputs", outputs)
    assert done.returncode == 0, done.stderr
    assert "restored: history.png, mistakes.png" in done.stdout
    assert (folder / "history.png").read_bytes() == before
    accuracy = f"{100 * content_of(folder)['test_accuracy']:.2f} %"
    (test_row,) = [line for line in done.stdout.splitlines() if line.startswith("test ")]
    assert accuracy in test_row
    assert f", test {accuracy}" in done.stdout  # as it was saved
    assert "precision" in done.stdout


@pytest.mark.integration
def test_a_damaged_model_is_refused(trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    make_run(tmp_path, "gone")
    folder = make_run(tmp_path, "foreign")
    (folder / "model.pt").write_bytes(b"not a model")
    for name, expected in (("gone", "is missing"), ("foreign", "is refused")):
        done = run("evaluate", "--run", name, "--outputs", tmp_path)
        assert done.returncode == 1
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.integration
def test_show_names_pictures_and_the_command(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    outputs, _ = trained
    done = run("show", "--run", "latest", "--outputs", outputs)
    assert done.returncode == 0
    assert content_of(only_folder(outputs))["command"] in done.stdout.splitlines()  # in one line, to be copied
    for shown in ("confusion_counts, confusion_percent", "parameters 693,994", "95 % interval"):
        assert shown in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", [[], ["train"], ["resume"], ["data"], ["models"], ["evaluate"], ["runs"], ["show"]])
def test_help_for_all(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main.main([*command, "--help"])
    assert left.value.code == 0
    assert "usage: python main.py" in capsys.readouterr().out


def test_the_help_of_train_names_what_is_usual(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "the ten logits (default: 256; 1-layer 128, 2-layer 128)" in words
    assert "passes over the training digits (default: 16; 1-layer 4)" in words
    assert "digits per step (default: 128)" in words
    assert "along each axis, as a fraction of the side (default: 0.07; 1-layer 0.05)" in words
