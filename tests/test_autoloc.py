import json
import pathlib

import numpy as np
import pytest
import python2

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import thumos
from cleannet_jax.data.layouts import autoloc, autoloc_rows

TRUTH = pathlib.Path(__file__).parents[1] / "../shared/eval_truth/thumos14"
D, N = 1024, 20
CATEGORIES = tuple(thumos.CLASSES.values())


def numbers(values):
    return ";".join(f"{value:.9g}" for value in np.ravel(values))


def make_row(video, labels, features, probabilities, attention):
    """A row from arrays [T, 2, ...] with flow first."""
    columns = [str(video), labels]
    columns += map(numbers, (features, probabilities, attention))
    return "\t".join(columns)


def simple_row(video, labels="1", *, length=3, probability=1 / N):
    """A row in which flow is negative and RGB positive, 1000 * snippet + column."""
    values = 1000 * np.arange(length)[:, np.newaxis] + np.arange(D)
    features = np.stack([-values - 1, values + 1], axis=1)
    probabilities = np.full((length, 2, N), probability)
    attention = np.stack([-np.arange(length) - 1, np.arange(length) + 1], axis=1)
    return make_row(video, labels, features, probabilities, attention)


def write_tsv(path, rows, *, lineidx):
    path.parent.mkdir(exist_ok=True)
    lines = [row.encode() + b"\n" for row in rows]
    path.write_bytes(b"".join(lines))
    if lineidx:
        offsets = np.cumsum([0, *map(len, lines)])[:-1]
        text = "".join(f"{offset}\n" for offset in offsets)
        path.with_suffix(".lineidx").write_text(text)


def write_pickle(path, value):
    path.write_bytes(python2.dumps(value))


def meta(numbers, prefix, *, duration=10.0):
    return {
        f"{prefix}{number:07d}": {"duration": duration, "fps": 30.0, "num_frames": 300}
        for number in numbers
    }


def frames(rows, *, count=N):
    """A frame a category from rows (category, video, start, end)."""
    found = []
    for category in range(count):
        own = [row for row in rows if row[0] == category]
        ids = np.empty(len(own), object)
        ids[:] = [row[1] for row in own]
        columns = {"video-id": ids, "t-start": [row[2] for row in own]}
        found.append(python2.frame(columns | {"t-end": [row[3] for row in own]}))
    return found


@pytest.fixture(params=[False, True], ids=["looked for", "lineidx"])
def release(tmp_path, request):
    """THUMOS14 in small: two videos to train on, one to evaluate on."""
    folder = tmp_path / "TH14"
    folder.mkdir()
    rows = [simple_row(51, "1;3"), simple_row(52, "2", length=2)]
    write_tsv(folder / "att_unfused/val.all.tsv", rows, lineidx=request.param)
    write_tsv(
        folder / "att_unfused/test.all.tsv", [simple_row(4, "6")], lineidx=request.param
    )
    write_pickle(folder / "val_meta_det_only.pc", meta([51, 52], "video_validation_"))
    write_pickle(folder / "test_meta_det_only.pc", meta([4, 5, 6], "video_test_"))
    segments = [
        (0, "0000051", 0.1, 0.2),
        (2, "0000051", 0.5, 1.0),
        (1, "0000052", 0, 1),
    ]
    write_pickle(folder / "val_gt_dump.py2.pc", frames(segments))
    write_pickle(folder / "test_gt_dump.py2.pc", frames([(5, "0000004", 0.25, 0.5)]))
    return folder


def test_features_are_rgb_then_flow(release):
    dataset = autoloc.open_autoloc(release)
    assert dataset.ids == (
        "video_test_0000004",
        "video_validation_0000051",
        "video_validation_0000052",
    )
    rgb, flow = dataset.read_streams("video_validation_0000051")
    values = 1000 * np.arange(3)[:, np.newaxis] + np.arange(D) + 1
    np.testing.assert_array_equal(rgb, values.astype(np.float32), strict=True)
    np.testing.assert_array_equal(flow, -values.astype(np.float32), strict=True)
    assert dataset.read_streams("video_validation_0000052")[0].shape == (2, D)
    for name, video in dataset.videos.items():
        assert dataset.read(name).shape == (video.length, 2 * D)


def test_time_base_and_subsets(release):
    manifest = autoloc.open_autoloc(release).manifest
    assert manifest.streams.names == ("rgb", "flow")
    assert (manifest.stride_frames, manifest.window_frames) == (15, 15)
    assert manifest.offset_frames == 0
    assert manifest.fps == "annotations"
    assert (manifest.train_subset, manifest.evaluation_subset) == ("validation", "test")
    assert "validation" in manifest.backbone_trained_on
    assert "test" not in manifest.backbone_trained_on


def test_ground_truth_is_in_seconds(release):
    videos = autoloc.open_autoloc(release).annotations.videos
    video = videos["video_validation_0000051"]
    assert (video.subset, video.duration, video.fps) == ("validation", 10.0, 30.0)
    assert video.labels == ("BaseballPitch", "Billiards")
    np.testing.assert_allclose(video.segments, [[1, 2], [5, 10]])
    assert videos["video_test_0000004"].labels == ("CricketBowling",)
    assert set(videos) == {f"video_validation_{n:07d}" for n in (51, 52)} | {
        "video_test_0000004"
    }


def test_labels_that_differ_are_reported(release):
    rows = [simple_row(51, "1;4"), simple_row(52, "2")]
    write_tsv(release / "att_unfused/val.all.tsv", rows, lineidx=True)
    notes = autoloc.open_autoloc(release).notes
    assert any("labels of the rows differ" in n and "0000051" in n for n in notes)


def test_rows_may_be_files_of_their_own(release):
    content = (release / "att_unfused/val.all.tsv").read_bytes().splitlines()
    (release / "att_unfused/val.all.tsv").unlink()
    (release / "att_unfused/val.all.lineidx").unlink(missing_ok=True)
    for number, line in zip((51, 52), content, strict=True):
        (release / f"att_unfused/val.{number:07d}.tsv").write_bytes(line)
    dataset = autoloc.open_autoloc(release)
    assert len(dataset.ids) == 3
    assert dataset.read_streams("video_validation_0000052")[1][1, 0] == -1001


def test_without_ground_truth_training_videos_have_their_labels(release):
    for path in release.glob("*_gt_dump*"):
        path.unlink()
    dataset = autoloc.open_autoloc(release)
    video = dataset.annotations.videos["video_validation_0000051"]
    assert video.tags == ("BaseballPitch", "Billiards") and not video.labels
    assert video.segments.shape == (0, 2)
    assert dataset.videos[video.id].labels == ("BaseballPitch", "Billiards")
    assert dataset.annotations.videos["video_test_0000004"].categories == ()
    assert sum("no ground truth" in note for note in dataset.notes) == 2


def test_annotations_go_before_the_pickles(release, tmp_path):
    database = {
        "video_validation_0000051": {
            "subset": "Validation",
            "annotations": [{"segment": [1, 3], "label": "Diving"}],
        },
        "video_test_0000004": {"subset": "Test", "duration": 9.0, "annotations": []},
    }
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"database": database}))
    dataset = autoloc.open_autoloc(release, annotations=path)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    assert dataset.manifest.train_subset == "Validation"
    assert dataset.manifest.evaluation_subset == "Test"
    videos = dataset.annotations.videos
    assert videos["video_validation_0000051"].duration == 10.0
    assert videos["video_test_0000004"].duration == 9.0
    assert videos["video_test_0000004"].fps == 30.0
    assert any("left out" in note for note in dataset.notes)


def test_activitynet_has_ids_of_its_map_and_labels_of_its_annotations(tmp_path):
    folder = tmp_path / "AN"
    folder.mkdir()
    labels = [f"label {index:02d}" for index in range(N)]
    for stage, number in (("train", 1), ("val", 4707)):
        name = f"att_unfused_onlytrain/{stage}.all.tsv"
        write_tsv(folder / name, [simple_row(number, "2")], lineidx=False)
        path = folder / f"{stage}_meta_v2_includedv3.indexified.pc"
        write_pickle(path, meta([number], ""))
    (folder / "org2idx.map").write_text(
        "train\t00S8I27qDU4\t0000001\nval\t--1DO2V4K74\t0004707\n"
    )
    with pytest.raises(errors.InputError, match="annotations: found none, expected"):
        autoloc.open_autoloc(folder)
    database = {
        "00S8I27qDU4": {
            "subset": "training",
            "duration": 12.0,
            "annotations": [{"segment": [0, 1], "label": name} for name in labels],
        },
        "--1DO2V4K74": {"subset": "validation", "duration": 9.0, "annotations": []},
    }
    path = tmp_path / "activity_net.json"
    path.write_text(json.dumps({"database": database}))
    dataset = autoloc.open_autoloc(folder, annotations=path)
    assert dataset.ids == ("--1DO2V4K74", "00S8I27qDU4")
    with open(folder / "org2idx.map", "a") as file:
        file.write("valdamaged\t0004708\n")
    notes = autoloc.open_autoloc(folder, annotations=path).notes
    assert any("line 3: found 2 columns" in note for note in notes)
    assert dataset.manifest.backbone_trained_on == ("ImageNet", "training")
    assert dataset.annotations.videos["00S8I27qDU4"].duration == 12.0
    assert dataset.read_streams("--1DO2V4K74")[0].shape == (3, D)
    (folder / "att_unfused_onlytrain").rename(folder / "att_unfused")
    dataset = autoloc.open_autoloc(folder, annotations=path)
    assert dataset.manifest.backbone_trained_on == (
        "ImageNet",
        "training",
        "validation",
    )


def test_a_row_is_read_without_the_rest_of_the_file(release, monkeypatch):
    dataset = autoloc.open_autoloc(release)
    asked = []
    monkeypatch.setattr(np, "fromstring", _recorded(np.fromstring, asked))
    dataset.read_streams("video_validation_0000052")
    row = (release / "att_unfused/val.all.tsv").read_bytes().splitlines()[1]
    assert asked == [len(column) for column in (row + b"\n").split(b"\t")[2:]]


def _recorded(function, asked):
    def call(cell, **options):
        asked.append(len(cell))
        return function(cell, **options)

    return call


CUTS = {
    "labels": (1, r"found 2 columns, expected 5"),
    "features": (2, r"found 3 columns, expected 5"),
    "activations": (3, r"found 4 columns, expected 5"),
}


@pytest.mark.parametrize(("column", "message"), CUTS.values(), ids=CUTS)
def test_a_row_that_is_cut_in_half_names_file_row_and_video(release, column, message):
    path = release / "att_unfused/val.all.tsv"
    first, second = path.read_bytes().splitlines()
    columns = second.split(b"\t")
    cut = b"\t".join([*columns[:column], columns[column][: len(columns[column]) // 2]])
    path.write_bytes(first + b"\n" + cut)
    dataset = autoloc.open_autoloc(release, dataset="thumos14")
    with pytest.raises(errors.InputError, match=message) as caught:
        dataset.read_streams("video_validation_0000052")
    assert f"{path}: row 2 (video 52): " in str(caught.value)
    assert dataset.read_streams("video_validation_0000051")[0].shape == (3, D)


def changed(row, column, change):
    columns = row.split("\t")
    columns[column] = change(columns[column])
    return "\t".join(columns)


WRONG = {
    "attention": (
        4,
        lambda cell: cell.rpartition(";")[0],
        "attention: found 5 numbers, expected 6: 3",
    ),
    "a word": (
        2,
        lambda cell: "a" + cell,
        "features: found something else than numbers",
    ),
    "a gap": (
        2,
        lambda cell: cell.replace(";", ";;", 1),
        "something else than numbers",
    ),
    "a feature less": (
        2,
        lambda cell: cell.rpartition(";")[0],
        "features: found 6143 numbers, expected 6144: 3 snippets of 2 x 1024",
    ),
    "other classes": (
        3,
        lambda cell: cell + ";0.5",
        "activations: found 121 numbers, expected 120: 3 snippets of 2 x 20",
    ),
    "a column more": (4, lambda cell: cell + "\t1", "found more than 5 columns"),
    "empty": (2, lambda cell: "", "features: found 0 numbers, expected 2048"),
}


@pytest.mark.parametrize(("column", "change", "message"), WRONG.values(), ids=WRONG)
def test_rows_with_other_numbers_are_refused(release, column, change, message):
    row = changed(simple_row(51), column, change)
    write_tsv(release / "att_unfused/val.all.tsv", [row], lineidx=True)
    dataset = autoloc.open_autoloc(release)
    with pytest.raises(errors.InputError, match=message) as caught:
        dataset.read_streams("video_validation_0000051")
    assert "val.all.tsv: row 1 (video 51): " in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (simple_row("x51"), "row 1: found 'x51', expected the number of a video"),
        (simple_row("../51"), "expected the number of a video"),
        (
            simple_row(51, "0"),
            r"\(video 51\): labels: found '0', expected numbers from 1",
        ),
        (simple_row(51, "1;;2"), "labels: found '1;;2'"),
        (simple_row(51, "21"), r"labels: found 21, expected 1 to 20"),
    ],
)
def test_first_columns_that_are_wrong_are_refused(release, row, message):
    write_tsv(release / "att_unfused/val.all.tsv", [row], lineidx=True)
    with pytest.raises(errors.InputError, match=message):
        autoloc.open_autoloc(release)


def test_a_video_that_is_there_twice_is_refused(release):
    rows = [simple_row(51), simple_row(51)]
    write_tsv(release / "att_unfused/val.all.tsv", rows, lineidx=True)
    with pytest.raises(errors.InputError, match="row 2 .*is there again as .*row 1"):
        autoloc.open_autoloc(release)


@pytest.mark.parametrize("text", ["0\n7\n", "5\n", "0\n99999999\n", "0\n0\n", "a\n"])
def test_a_lineidx_that_does_not_fit_is_refused(release, text):
    path = release / "att_unfused/val.all.lineidx"
    path.write_text(text)
    with pytest.raises(errors.InputError, match="val.all.lineidx: line [12]: found"):
        autoloc.open_autoloc(release)


def test_a_lineidx_that_misses_a_row_shows_when_it_is_read(release):
    (release / "att_unfused/val.all.lineidx").write_text("0\n")
    dataset = autoloc.open_autoloc(release)
    with pytest.raises(errors.InputError, match="row 1 .*more than 5 columns"):
        dataset.read_streams("video_validation_0000051")


def test_the_data_set_is_named_where_files_do_not_tell(release):
    (release / "att_unfused/test.all.tsv").unlink()
    with pytest.raises(
        errors.InputError, match="found files of val, which do not tell"
    ):
        autoloc.open_autoloc(release)
    with pytest.raises(
        errors.InputError, match="dataset: found 'th14', expected thumos"
    ):
        autoloc.open_autoloc(release, dataset="th14")
    with pytest.raises(errors.InputError, match="no file such as val.all.tsv"):
        autoloc.open_autoloc(release / "nothing")


def test_a_missing_frame_rate_is_asked_for(release):
    write_pickle(release / "test_meta_det_only.pc", {})
    with pytest.raises(
        errors.InputError, match="'video_test_0000004': its duration is"
    ):
        autoloc.open_autoloc(release)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "found a list, expected a dict of videos"),
        ({"video_test_0000004": 3}, "found a int, expected a video by number"),
        (
            {"video_test_0000004": {"duration": 1.0}},
            "fps: found None, expected a finite",
        ),
        ({"video_test_0000004": {"duration": 0.0, "fps": 1}}, "duration: found 0.0"),
    ],
)
def test_meta_data_that_is_wrong_is_refused(release, value, message):
    write_pickle(release / "test_meta_det_only.pc", value)
    with pytest.raises(errors.InputError, match=message) as caught:
        autoloc.open_autoloc(release)
    assert "test_meta_det_only.pc" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "count", "message"),
    [
        ([], 3, "found a list of 3, expected a list of 20 frames"),
        ([(0, "0000051", 0.5, 0.1)], N, "frame 0, row 0: found the segment"),
        (
            [(2, "0000051", 0.5, np.nan)],
            N,
            "frame 2, row 0: found nan, expected a finite",
        ),
        ([(0, "x", 0.1, 0.5)], N, "frame 0, row 0: video-id: found 'x'"),
        (
            [(0, "0000099", 0.1, 0.5)],
            N,
            "'video_validation_0000099': its duration is in",
        ),
    ],
)
def test_ground_truth_that_is_wrong_is_refused(release, rows, count, message):
    write_pickle(release / "val_gt_dump.py2.pc", frames(rows, count=count))
    with pytest.raises(errors.InputError, match=message):
        autoloc.open_autoloc(release)


# Results.


def results(path, rows):
    """Results in a pickle as AutoLoc writes them, float32."""
    found = []
    for category in range(N):
        own = [row for row in rows if row[0] == category]
        ids = np.empty(len(own), object)
        ids[:] = [row[1] for row in own]
        columns = {"video-id": ids, "cls": [float(category)] * len(own)}
        for index, name in ((2, "t-start"), (3, "t-end"), (4, "score")):
            columns[name] = [row[index] for row in own]
        found.append(python2.frame(columns))
    write_pickle(path, found)


def test_results_are_detections_in_seconds(release, tmp_path):
    database = {
        name: {"subset": "test", "duration": duration, "annotations": []}
        for name, duration in (("video_test_0000004", 8.0), ("other", 2.0))
    }
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    rows = [(3, "0000004", 0.5, 0.75, 1.5), (3, "0000009", 0.0, 1.0, -0.25)]
    results(tmp_path / "results.pc", rows)
    (tmp_path / "map").write_text("test\tother\t0000009\n")
    found = autoloc.read_results(
        tmp_path / "results.pc",
        dataset="thumos14",
        annotations=tmp_path / "gt.json",
        id_map=tmp_path / "map",
    )
    assert found.videos == ("video_test_0000004", "other")
    assert [found.labels[label] for label in found.label] == ["CleanAndJerk"] * 2
    np.testing.assert_array_equal(found.segments, [[4, 6], [0, 2]])
    np.testing.assert_array_equal(found.scores, [1.5, -0.25])
    with pytest.raises(
        errors.InputError, match="frame 3, row 1: video 'video_test_00000"
    ):
        autoloc.read_results(
            tmp_path / "results.pc",
            dataset="thumos14",
            annotations=tmp_path / "gt.json",
        )


# As AutoLoc's map: a line whose id and subset have run together, and an id in which
# the name of a subset was replaced.
MAP = (
    "train\tone\t0000001\nvalidation\ttwo\t0000002\nvalidationthree\t0000003\n"
    "validation\tfvalidationr\t0000004\n"
)


@pytest.fixture
def mapped(tmp_path):
    """Reads results on videos 2 (twice), 3 and 4 (twice), with or without a map."""
    own = {"subset": "validation", "duration": 10.0, "annotations": []}
    database = {name: own for name in ("two", "three", "fvalr")}
    # The names of the categories are those of the annotations.
    database["two"] = own | {"labels": list(CATEGORIES)}
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    rows = [(0, f"000000{n}", 0.0, 0.5, n / 8) for n in (2, 3, 4, 2, 4)]
    results(tmp_path / "results.pc", rows)

    def read(id_map=None, **more):
        if id_map is not None:
            (tmp_path / "map").write_text(id_map)
            more["id_map"] = tmp_path / "map"
        return autoloc.read_results(
            tmp_path / "results.pc",
            dataset="activitynet12",
            annotations=tmp_path / "gt.json",
            **more,
        )

    return read


def test_a_damaged_line_of_the_map_is_named_and_left_out(mapped, tmp_path):
    lines = []
    found = mapped(MAP, warn=lines.append)
    assert found.videos == ("two",) and found.scores.tolist() == [2 / 8, 2 / 8]
    damaged, unnamed, unknown = lines
    path = tmp_path / "map"
    assert damaged == (
        f"{path}: line 3: found 2 columns, 'validationthree\\t0000003', expected 3:"
        " subset id number; the line is left out"
    )
    assert unnamed == f"{path}: found no line of number 3; 1 detections are left out"
    assert unknown == (
        f"{path}: line 4: found 'fvalidationr', expected a video of"
        f" {tmp_path / 'gt.json'}; 2 detections are left out"
    )
    whole = MAP.replace("validationthree", "validation\tthree").replace(
        "fvalidationr", "fvalr"
    )
    lines.clear()
    found = mapped(whole, warn=lines.append)
    assert found.videos == ("two", "three", "fvalr") and not lines


def test_numbers_without_a_map_ask_for_it(mapped):
    with pytest.raises(errors.InputError) as caught:
        mapped()
    assert "frame 0, row 0: video '0000002' is not in" in str(caught.value)
    assert str(caught.value).endswith(
        "; --id-map org2idx.map says which id a number stands for"
    )


@pytest.mark.parametrize(
    ("id_map", "message"),
    [
        ("train\tone\t0000001\n", "none of its 3 videos is by .*map one of"),
        ("one 0000001\n", "map: line 1: found 2 columns"),
        (MAP + "train\tother\t2\n", "line 5: number 2 stands above too, in .*line 2"),
    ],
)
def test_a_map_that_is_none_is_refused(mapped, id_map, message):
    with pytest.raises(errors.InputError, match=message):
        mapped(id_map)


@pytest.mark.skipif(not TRUTH.exists(), reason="needs ../shared")
def test_released_detections_are_read_back(tmp_path):
    """20763 detections, made into the pickle that they come from (float64 ratios)."""
    truth = annotations_lib.read_annotations(TRUTH / "gt_autoloc_dump.json")
    content = json.loads((TRUTH / "autoloc_predictions.json").read_text())["results"]
    durations = {name: video.duration for name, video in truth.videos.items()}
    rows, expected = [], {}
    for name, detections in content.items():
        if name not in durations:
            continue
        for row in detections:
            start, end = (time / durations[name] for time in row["segment"])
            category = CATEGORIES.index(row["label"])
            rows.append((category, name[-7:], start, end, row["score"]))
            expected.setdefault(name, []).append(
                (row["label"], *row["segment"], row["score"])
            )
    results(tmp_path / "results.pc", rows)
    found = autoloc.read_results(
        tmp_path / "results.pc",
        dataset="thumos14",
        annotations=TRUTH / "gt_autoloc_dump.json",
    )
    assert len(found.video) == len(rows) > 20000
    for index, name in enumerate(found.videos):
        own = np.flatnonzero(found.video == index)
        wanted = sorted(expected[name])
        got = sorted(
            (found.labels[found.label[row]], *found.segments[row], found.scores[row])
            for row in own
        )
        assert [row[0] for row in got] == [row[0] for row in wanted]
        np.testing.assert_allclose(
            [row[1:] for row in got], [row[1:] for row in wanted], rtol=0, atol=1e-9
        )


def test_outputs_are_those_of_the_rows(release):
    names, outputs = autoloc.open_outputs(
        release, ids=["video_validation_0000051", "video_test_0000004"]
    )
    assert names == CATEGORIES
    first, second = outputs
    assert first.features.shape == (2, 3, D) and second.features.shape == (2, 3, D)
    np.testing.assert_allclose(first.probabilities, np.full((2, 3, N), 1 / N))
    np.testing.assert_array_equal(first.attention, [[1, 2, 3], [-1, -2, -3]])


def test_place_names_the_row(tmp_path):
    path = tmp_path / "val.all.tsv"
    write_tsv(path, [simple_row(51)], lineidx=False)
    (place,) = autoloc_rows.find_rows(path)
    assert str(place) == f"{path}: row 1 (video 51)"
    assert (place.start, place.stop, place.labels) == (0, path.stat().st_size, (0,))
