"""The index of all folders: those of this version and of earlier ones, damaged and hostile ones."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import main
from mnist_lab.errors import RequestError, StorageError
from mnist_lab.report.document import Caption, read_picture, render
from mnist_lab.report.index import KINDS, Summary, folder_report, read_summary, write_index, write_summary
from mnist_lab.training.page import unsummarised
from tests.pages import HOSTILE, NOON, Element, Page, cards, drawn, earlier_folders, fill, parse, parse_file
from tests.training.test_runs import make_run


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return earlier_folders(tmp_path / "out puts")


def test_the_index_shows_every_folder_the_newest_first(outputs: Path) -> None:
    page = parse_file(write_index(outputs, NOON, unsummarised))
    found = cards(page)
    folders = {path.name for path in outputs.iterdir() if path.is_dir()} - {".hidden"}
    assert set(found) == folders
    dated = [name for name in found if name.startswith("2026-11")]
    assert dated == sorted(dated, reverse=True)
    assert list(found)[: len(dated)] == dated
    assert page.texts("h2") == [
        "22 November 2026", "21 November 2026", "20 November 2026", "19 November 2026", "Without a date"
    ]  # fmt: skip
    kinds = {label.split()[0]: label.split()[-1] for label in page.texts("label") if label[-1].isdigit()}
    assert kinds == {
        "Everything": "13", "Runs": "2", "Experiments": "1", "Comparisons": "1", "Drawings": "1", "Scores": "2",
        "X-rays": "1", "Saliency": "1", "Data": "1", "Others": "3",
    }  # fmt: skip
    assert "Yes. seeds: 3, epochs: 4" in found["2026-11-22_11-00-00_experiment-depth"]


def test_the_index_tells_of_each_what_matters(outputs: Path) -> None:
    found = cards(parse_file(write_index(outputs, NOON, unsummarised)))
    assert (
        "1-layer, seed 0 99.00 % of the test digits 95 % interval 98.70 to 99.20 %"
        in found["2026-11-22_10-00-00_1-layer"]
    )
    assert "is damaged" in found["2026-11-21_10-00-00_3-layer"]
    assert "Depth Is deeper better? Yes." in found["2026-11-22_11-00-00_experiment-depth"]
    assert "Comparison · 11:30 Comparison 2026" in found["2026-11-22_11-30-00_compare"]
    assert "75.00 % of 4 drawings" in found["2026-11-20_09-00-00_score-mine"]
    assert "score.json can't be read" in found["2026-11-20_09-00-00_score-mine-2"]
    assert "Saliency: test-5" in found["2026-11-19_08-00-00_saliency-test-5"]
    assert "no picture" in found["2026-13-45_99-99-99_drawing-1"]
    assert "12 more" in found["many"]


def test_the_index_links_to_files_that_are_there_and_copies_none(outputs: Path) -> None:
    path = write_index(outputs, NOON, unsummarised)
    page = parse_file(path)
    links = [link.attributes["href"] for link in page.all("a")]
    assert len(links) > 40
    images = page.all("img")
    assert len(images) == len(cards(page)) - 2  # one has no picture, one is damaged and has none either
    assert {image.attributes["loading"] for image in images} == {"lazy"}
    assert all(image.attributes["alt"] for image in images)
    for address in (*links, *(image.attributes["src"] for image in images)):
        assert address.startswith("./")
        assert "?" not in address
        assert "#" not in address
        assert (outputs / unquote(address)).exists(), address
    assert not page.all("script", "b", "i")
    thumbnails = {unquote(image.attributes["src"]).rpartition("_")[2] for image in images}
    assert {"experiment-depth/wins.png", "compare/a.png", "drawing-3/drawing.png", "data/samples.png"} <= thumbnails
    assert "report.html" in str(links)


def test_unreadable_and_strange_folders_do_no_harm(outputs: Path) -> None:
    looping = outputs / "looping"
    looping.mkdir()
    (looping / "run.json").symlink_to(looping / "run.json")
    (outputs / "dangling").symlink_to(outputs / "nowhere")
    pipe = fill(outputs, "2026-11-22_13-00-00_experiment-pipe")
    os.mkfifo(pipe / "results.json")
    deep = fill(outputs, "2026-11-22_13-00-00_compare-deep")
    (deep / "results.json").write_text("[" * 100_000, encoding="utf-8")
    (deep / "hole.png").symlink_to("/dev/zero")
    strange = os.fsdecode(b"not utf-8 \xff\xfe")
    (outputs / strange).mkdir()
    found = cards(parse_file(write_index(outputs, NOON, unsummarised)))
    assert "is damaged" in found["looping"]
    assert "can't be read" in found["2026-11-22_13-00-00_experiment-pipe"]
    assert "can't be read" in found["2026-11-22_13-00-00_compare-deep"]
    assert "not utf-8 \ufffd\ufffd" in found
    assert read_picture(deep, "hole.png") is None


def index_after(outputs: Path, change: Callable[[], object]) -> float:
    """When the index was written, seconds since 1970, after a change and a command that has nothing to do with it."""
    time.sleep(0.05)  # the clock of a file system ticks every few milliseconds
    change()
    main.main(["runs", "--outputs", str(outputs)])
    return (outputs / "index.html").stat().st_mtime


def test_the_index_follows_whatever_changes_and_rests_otherwise(outputs: Path) -> None:
    index = outputs / "index.html"
    first = index_after(outputs, lambda: None)
    assert index_after(outputs, lambda: None) == first
    second = index_after(outputs, lambda: (outputs / "new").mkdir())
    assert second > first
    third = index_after(outputs, lambda: (outputs / "new").rmdir())
    assert third > second
    assert "new" not in cards(parse_file(index))
    fourth = index_after(outputs, lambda: (outputs / "many" / "more.png").touch())
    assert fourth > third
    assert index_after(outputs, lambda: None) == fourth
    assert index_after(outputs, lambda: os.utime(index, (fourth + 9999, fourth + 9999))) < fourth + 999


def test_the_index_clears_away_what_killed_programs_left_half_written(outputs: Path) -> None:
    old = [outputs / ".writing-a.html", outputs / "many" / ".writing-b.png", outputs / "many" / ".writing-c.pt"]
    young = outputs / "many" / ".writing-d.png"
    for path in (*old, young):
        path.touch()
    for path in old:
        os.utime(path, (0, 0))
    main.main(["runs", "--outputs", str(outputs)])
    assert young.exists()
    assert not any(path.exists() for path in old)
    assert (outputs / "index.html").exists()


def test_a_website_of_the_users_is_not_an_index(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = outputs / "index.html"
    page.write_text("<title>My holidays</title>", encoding="utf-8")
    assert main.main(["runs", "--outputs", str(outputs)]) == 0
    assert main.main(["report", "--outputs", str(outputs)]) == 1
    assert "was not written by the lab; move it" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "<title>My holidays</title>"


def test_an_index_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    page = parse_file(write_index(tmp_path / "new" / "outputs", NOON, unsummarised))
    assert "Nothing here yet" in page.all("body")[0].text
    assert not page.all("input")


def test_a_file_in_the_place_of_the_outputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="file stands"):
        write_index(tmp_path / "outputs", NOON, unsummarised)


# ------------------------------------------------------------------------- folded, filtered, and in another order


def arranged(outputs: Path) -> Page:
    """The index of an experiment over two runs, one of them gone since; of another run, an older one, and a drawing."""
    run = Summary(kind="run", headline="98 %", sentences=["said"])
    for name, validation, network in (
        ("2026-11-22_10-00-00_3-layer-aug", 0.97, "3-layer"),
        ("2026-11-22_11-00-00_1-layer-aug", 0.98, "1-layer"),
        ("2026-11-21_10-00-00_1-layer-aug", 0.99, "1-layer"),
    ):
        write_summary(
            fill(outputs, name), replace(run, title=name[20:], traits=(network, "augmented"), validation=validation)
        )
    make_run(outputs, "2026-11-20_10-00-00_1-layer", val_accuracy=0.5)
    results = {"title": "Depth", "runs": {"3": {"0": "2026-11-22_10-00-00_3-layer-aug"}, "1": {"0": "gone"}}}
    fill(outputs, "2026-11-23_09-00-00_experiment-depth", results=results)
    compared = Summary(title="Two", runs=["2026-11-22_11-00-00_1-layer-aug", "2026-11-22_10-00-00_3-layer-aug"])
    write_summary(fill(outputs, "2026-11-23_10-00-00_compare"), compared)
    fill(outputs, "2026-11-23_11-00-00_drawing-1", "drawing.png")
    return parse_file(write_index(outputs, NOON, unsummarised))


def card_elements(page: Page) -> dict[str, Element]:
    items = [element for element in page.all("li") if element.attributes.get("class", "").startswith("card ")]
    return dict(zip(cards(page), items, strict=True))


def test_an_experiment_is_folded_over_its_runs(tmp_path: Path) -> None:
    found = card_elements(arranged(tmp_path))
    folded = {name for name, card in found.items() if "folded" in card.attributes["class"].split()}
    assert folded == {"2026-11-22_10-00-00_3-layer-aug"}  # one that is only compared stays in sight
    experiment = " ".join(found["2026-11-23_09-00-00_experiment-depth"].text.split())
    assert "2 runs (1 not here any more) 3-layer-aug 98 %" in experiment
    assert "2 runs 1-layer-aug 98 % 3-layer-aug 98 %" in " ".join(found["2026-11-23_10-00-00_compare"].text.split())
    links = [link.attributes["href"] for link in arranged(tmp_path / "again").all("a") if "details" in link.inside]
    assert links.count("./2026-11-22_10-00-00_3-layer-aug/") == 2


def test_the_best_on_the_validation_digits_come_first_where_asked_for(tmp_path: Path) -> None:
    found = card_elements(arranged(tmp_path))
    places = {name: int(card.attributes["style"].removeprefix("--place: ")) for name, card in found.items()}
    assert sorted(places, key=places.__getitem__) == [
        "2026-11-21_10-00-00_1-layer-aug",
        "2026-11-23_10-00-00_compare",  # as good as the best of its runs; the newest first among equals
        "2026-11-22_11-00-00_1-layer-aug",
        "2026-11-23_09-00-00_experiment-depth",
        "2026-11-22_10-00-00_3-layer-aug",
        "2026-11-20_10-00-00_1-layer",
        "2026-11-23_11-00-00_drawing-1",
    ]


def test_a_card_knows_the_networks_that_it_is_about(tmp_path: Path) -> None:
    found = card_elements(arranged(tmp_path))
    traits = {name: set(card.attributes["class"].split()) - {"card", "folded"} for name, card in found.items()}
    assert traits["2026-11-23_10-00-00_compare"] == {"compare", "n1-layer", "n3-layer", "naugmented"}
    assert traits["2026-11-20_10-00-00_1-layer"] == {"run", "n1-layer", "nunaugmented"}  # read from its run.json
    assert traits["2026-11-23_11-00-00_drawing-1"] == {"drawing"}


def test_a_note_stands_on_the_card_and_follows_when_it_changes(tmp_path: Path) -> None:
    arranged(tmp_path)
    name = "2026-11-22_11-00-00_1-layer-aug"
    assert index_after(tmp_path, lambda: (tmp_path / name / "note.txt").write_text(HOSTILE, "utf-8", "replace"))
    page = parse_file(tmp_path / "index.html")
    assert "<script>alert(1)</script>" in cards(page)[name]
    assert not page.all("script")


def test_the_summary_of_an_earlier_version_is_completed_from_the_folder(tmp_path: Path) -> None:
    """It named a history of one point as the thumbnail, and neither network nor validation accuracy."""
    folder = make_run(tmp_path, "2026-11-22_10-00-00_1-layer", epochs_run=1, best_epoch=1)
    for picture in ("history.png", "confusion_counts.png"):
        (folder / picture).write_bytes(drawn())
    said = Caption("Confused", "A table")
    write_summary(
        folder, Summary(kind="run", title="1-layer", thumbnail="history.png", pictures={"confusion_counts.png": said})
    )
    page = parse_file(write_index(tmp_path, NOON, unsummarised))
    (image,) = page.all("img")
    assert image.attributes["src"].endswith("confusion_counts.png")
    assert image.attributes["alt"] == "Confused"


# -------------------------------------------------------------------------------------------------- summaries


WHOLE = Summary(
    kind="run",
    title="1-layer, seed 0",
    headline="98.76 %",
    headline_meaning="of the test digits",
    sentences=["95 % interval 98.50 to 99.00 %"],
    runs=("2026-11-22_09-00-00_3-layer",),
    traits=("3-layer", "augmented"),
    validation=0.99,
    thumbnail="b.png",
    remark="interrupted",
    created="2026-11-23T09:00:00+00:00",
    pictures={"b.png": Caption("The second", "What there is to see", "How to read it")},
)


def never(folder: Path) -> None:
    raise AssertionError(f"{folder} has a summary: nothing else in it is to be read")


def test_a_folder_with_a_summary_is_shown_from_it_alone(tmp_path: Path) -> None:
    folder = fill(tmp_path, "2026-11-22_10-00-00_3-layer", "a.png", "b.png", run={"status": "running"})
    write_summary(folder, WHOLE)
    assert read_summary(folder) == WHOLE
    page = parse_file(write_index(tmp_path, NOON, never))
    (card,) = cards(page).values()
    for words in (
        "Training run · 10:00 1-layer, seed 0 98.76 % of the test digits",
        "95 % interval 98.50 to 99.00 %",
        "interrupted",
    ):
        assert words in card
    (image,) = page.all("img")
    assert image.attributes["src"].endswith("/b.png")
    assert image.attributes["alt"] == "The second"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("run", "other")])
def test_a_summary_without_a_kind_gets_that_of_the_folders_name(tmp_path: Path, kind: str) -> None:
    folder = fill(tmp_path, f"2026-11-22_10-00-00_{kind}-five", "a.png")
    write_summary(folder, Summary(headline="7"))
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["kind"] == kind
    (card,) = cards(parse_file(write_index(tmp_path, NOON, never_asked))).values()
    assert card.startswith(f"{KINDS[kind][0]} · 10:00 {KINDS[kind][0]}: five 7")


NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**400,
    HOSTILE,
    [],
    [[HOSTILE]],
    {},
    {HOSTILE: {"a": [HOSTILE]}},
    "../x.png",
)


@pytest.mark.parametrize("name", [*asdict(WHOLE)])
def test_no_value_of_a_summary_breaks_the_index_or_a_page(tmp_path: Path, name: str) -> None:
    folder = fill(tmp_path, "2026-11-22_10-00-00_xray-photo", "b.png")
    for value in NASTY:
        (folder / "summary.json").write_text(json.dumps(asdict(WHOLE) | {name: value}), encoding="utf-8")
        page = parse_file(write_index(tmp_path, NOON, never_asked))
        assert len(cards(page)) == 1
        assert not page.all("script", "b")
        assert all(link.attributes["href"].startswith("./") for link in page.all("a"))
        assert len(parse(render(folder_report(folder, never_asked))).all("img")) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "[" * 100_000])
def test_a_summary_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, content: str) -> None:
    folder = fill(tmp_path, "2026-11-22_10-00-00_xray-photo", "xray.png")
    (folder / "summary.json").write_text(content, encoding="utf-8")
    (card,) = cards(parse_file(write_index(tmp_path, NOON, lambda folder: None))).values()
    assert "X-ray: photo" in card
    assert "its summary.json can't be read" in card


def test_a_folder_whose_name_tells_no_time_is_listed_by_its_summarys(tmp_path: Path) -> None:
    write_summary(fill(tmp_path, "renamed"), WHOLE)
    write_summary(fill(tmp_path, "nonsense"), replace(WHOLE, created="yesterday"))
    assert parse_file(write_index(tmp_path, NOON, never)).texts("h2") == ["23 November 2026", "Without a date"]


def test_a_page_of_pictures_says_what_the_summary_knows_of_them(tmp_path: Path) -> None:
    folder = fill(tmp_path, "2026-11-22_10-00-00_saliency-test-7", "a.png", "b.png")
    write_summary(folder, replace(WHOLE, kind="saliency"))
    page = parse(render(folder_report(folder, never)))
    assert [image.attributes["alt"] for image in page.all("img")] == ["A picture: a.", "What there is to see"]
    assert page.texts("figcaption") == ["A.", "The second. How to read it"]
    assert "98.76 % of the test digits" in page.texts("section")[0]


def test_a_folder_without_pictures_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no pictures"):
        folder_report(fill(tmp_path, "2026-11-22_10-00-00_xray-photo"), never_asked)


def never_asked(folder: Path) -> Summary | None:
    return None
