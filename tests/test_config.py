import dataclasses
import pathlib
import runpy

import pytest

from cleannet_jax import config, errors, methods

CONFIGS = sorted((pathlib.Path(__file__).parents[1] / "configs").glob("[a-z]*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_makes_sense(path):
    made = runpy.run_path(str(path))["get_config"]()
    methods.check(made)
    assert made.dataset == path.stem
    if made.manifest:
        assert pathlib.Path(made.manifest).exists()


@pytest.mark.parametrize("name", ["thumos14", "activitynet12"])
def test_benchmarks_have_the_hyperparameters_of_the_paper(name):
    # Section 4.1, "Implementation details", and Section 3.4.
    path = next(path for path in CONFIGS if path.stem == name)
    made = runpy.run_path(str(path))["get_config"]()
    sizes = {
        "thumos14": (1, 2, 4, 8, 16, 32),
        "activitynet12": (16, 32, 64, 128, 256, 512),
    }
    assert made.anchor_sizes == sizes[name]
    assert (made.learning_rate, made.decay_steps, made.decay_rate) == (1e-4, 200, 0.1)
    assert (made.nms_tiou, made.min_video_score, made.positive_score) == (0.4, 0.1, 0.5)


def test_variants_are_table_2():
    # C1 to C5 of the paper's Table 2.
    table = {
        "plain": "01100",
        "actioness_only": "11010",
        "edgeness_only": "10110",
        "simple": "11100",
        "t": "11110",
        "j": "11101",
        "full": "11111",
    }
    for name, marks in table.items():
        made = methods.apply(config.Config(), name)
        fields = (
            made.train_generator,
            made.action_score,
            made.edge_scores,
            made.tsn_sampling,
            made.joint,
        )
        assert fields == tuple(mark == "1" for mark in marks), name
        methods.check(made)


def test_unknown_variant_is_named():
    with pytest.raises(errors.InputError, match="found 'best', expected one of untrim"):
        methods.apply(config.Config(), "best")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("joint", "false", False),
        ("joint", "YES", True),
        ("joint", "0", False),
        ("steps", "12", 12),
        ("learning_rate", "1e-3", 1e-3),
        ("anchor_sizes", "2,4", (2, 4)),
        ("tious", "0.5,0.75", (0.5, 0.75)),
        ("manifest", "m.json", "m.json"),
    ],
)
def test_values_are_read_by_their_type(name, text, expected):
    value = config.parse_value(name, text)
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("joint", "maybe", "joint: found 'maybe', expected true or false"),
        ("steps", "1.5", "steps: found '1.5', expected whole number"),
        ("anchor_sizes", "2,x", "expected whole numbers separated by commas"),
    ],
)
def test_values_of_a_wrong_type_are_named(name, text, message):
    with pytest.raises(errors.InputError, match=message):
        config.parse_value(name, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps: found -1, expected 0 or more"),
        ({"learning_rate": float("nan")}, "learning_rate: found nan, expected above 0"),
        ({"momentum": 1.0}, "momentum: found 1.0"),
        ({"anchor_sizes": ()}, "anchor_sizes: found (), expected sizes above 0"),
        ({"tious": (0.0,)}, "tious: found (0.0,)"),
        ({"seed": -1}, "seed: found -1"),
        ({"action_score": False, "edge_scores": False}, "nothing to train on"),
        ({"train_generator": False}, "joint: found true"),
    ],
)
def test_values_that_make_no_sense_are_named(change, message):
    with pytest.raises(errors.InputError) as caught:
        methods.check(dataclasses.replace(config.Config(), **change))
    assert message in str(caught.value)
