"""Labels of whole videos, in every form that they come in."""

import json

import numpy as np
import pytest

from cleannet_jax import errors, experiment
from cleannet_jax.data import annotation_files, files


def tags(path):
    return {
        name: video.tags
        for name, video in annotation_files.read_annotations(path).videos.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        "id,labels\na,jump;run\nb,\n",
        '\ufeffid,labels\r\n"a","jump; run"\r\nb,""\r\n',
        "labels,id\njump,a\nrun,a\n,b\n",
        "video,label\na,jump,run\nb\n".replace("\nb\n", "\nb,\n"),
        "Video-ID,Label,note\na,jump,\na,run,x\na,run,y\nb,,\n",
    ],
)
def test_a_table_of_labels(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    assert tags(path) == {"a": ("jump", "run"), "b": ()}
    videos = annotation_files.read_annotations(path).videos
    assert videos["a"].annotated and not videos["b"].annotated
    assert not videos["a"].timed and not videos["b"].timed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,tags\na,jump\n",
            "line 1: found no column 'label' or 'labels' in the head",
        ),
        ("", "found no line, expected a header with video, label"),
        ("id,labels\n,jump\n", "line 2: video: found none, expected a name"),
        (
            "id,labels,subset\na,jump,x\nb,run,\n",
            "line 3: found a row without a subset",
        ),
        ("id,labels,subset\na,jump,x\na,run,y\n", "line 3: video 'a': found subset y"),
        ("id,labels,fps\na,jump,0\n", "video 'a': fps: found 0, expected one above 0"),
        ("id,labels,fps\na,jump\n", "line 2: found 2 cells"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(errors.InputError, match=message):
        tags(path)


def test_every_form_gives_the_same_parameters(feature_folder, tiny_config, tmp_path):
    path = feature_folder / "annotations.json"
    timed = json.loads(path.read_text())["database"]
    forms = {"segments": timed}
    whole, labels, rows = {}, {}, ["id,subset,labels"]
    for name, video in timed.items():
        names = sorted({entry["label"] for entry in video["annotations"]})
        whole[name] = video | {"annotations": [{"label": label} for label in names]}
        labels[name] = {"subset": video["subset"], "labels": names}
        rows.append(f"{name},{video['subset']},{';'.join(names)}")
    forms |= {"whole": whole, "labels": labels, "table": None}
    table = feature_folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    found = {}
    for form, content in forms.items():
        if content is None:
            manifest = feature_folder / "manifest.json"
            values = json.loads(manifest.read_text()) | {"annotations": table.name}
            files.write_json(manifest, values)
        else:
            files.write_json(path, {"database": content})
        run = tmp_path / form
        lines = experiment.train_and_evaluate(
            tiny_config, "full", str(feature_folder), run
        )
        # Without times there is nothing to evaluate against, which is said.
        assert bool(lines) == (form == "segments")
        with np.load(run / "model.npz") as model:
            found[form] = dict(model)
    for form, params in found.items():
        assert params.keys() == found["segments"].keys()
        for name, values in params.items():
            np.testing.assert_array_equal(values, found["segments"][name], err_msg=form)


def test_a_table_without_subsets_is_all_for_training(feature_folder, tiny_config):
    table = feature_folder / "labels.csv"
    table.write_text("id,labels\nvideo00,jump\nvideo01,run;throw\n")
    manifest = feature_folder / "manifest.json"
    values = json.loads(manifest.read_text()) | {"annotations": table.name}
    files.write_json(manifest, values)
    dataset = experiment.open_dataset(tiny_config, str(feature_folder))
    assert dataset.train_ids == ("video00", "video01")
    assert dataset.categories == ("jump", "run", "throw")
