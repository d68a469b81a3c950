"""What training is said to take, worked out by hand."""

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import cost, validation
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.report import validation as report_lib


def cost_of(folder, **options):
    manifest = manifest_lib.read_manifest(folder / "manifest.json")
    annotations = annotations_lib.read_annotations(folder / "annotations.json")
    report = validation.validate(
        folder, manifest=manifest, annotations=annotations, window=7, read_values=False
    )
    found = cost.training_cost(
        report,
        manifest=manifest,
        annotations=annotations,
        config=config_lib.Config(**options),
    )
    return found, report


def test_cost_of_a_folder(feature_folder):
    found, report = cost_of(
        feature_folder, generator_width=8, head_steps=3, steps=5, num_buckets=1
    )
    lengths = [report.lengths[f"video{index:02d}"] for index in range(10)]
    assert found.videos == 10
    # float16 streams of 6 and 4 columns, and a header of 128 bytes a file.
    assert found.stored_bytes == sum(lengths) * 10 * 2 + 20 * 128
    (bucket,) = found.buckets
    assert bucket == -(-max(lengths) // 32) * 32
    assert found.padding == 1 - sum(lengths) / (10 * bucket)
    # Nine examples of 10 columns; then 2 * 10 + 5 * 8 + 4 * 3 numbers in a step.
    assert found.memory_bytes == bucket * 4 * (90 + 20 + 40 + 12)
    # Multiply and add, twice: heads of 7 outputs, convolutions of 3 x 10 x 8; thrice:
    # two convolutions of 3 x 8 x 8. Stage 1 has half of the heads' outputs.
    head, convolutions = 4 * 10 * 7, 4 * 3 * 10 * 8 + 2 * 6 * 3 * 8 * 8
    assert found.operations == bucket * (3 * head / 2 + 5 * (head + convolutions))


def test_without_a_generator_stage_one_is_all(feature_folder):
    both, _ = cost_of(feature_folder)
    head, _ = cost_of(feature_folder, train_generator=False, joint=False)
    assert 0 < head.operations < both.operations


def test_nothing_to_train_on_costs_nothing(feature_folder):
    for path in feature_folder.glob("*/video*.npy"):
        path.unlink()
    found, _ = cost_of(feature_folder)
    assert (found.videos, found.buckets, found.memory_bytes) == (0, (), 0)
    assert "for buckets of no snippets" in report_lib.cost_text(found, rate=1e9)


def test_rate_and_text(feature_folder):
    assert np.isfinite(cost.multiplication_rate())
    found = cost.Cost(2, 10**9, (32, 64), 0.25, 2 * 10**9, 3e10)
    assert report_lib.cost_text(found, rate=1e10) == (
        "to train on 2 videos with the default options, about\n"
        "  1.00 GB of features on disk\n"
        "  2.00 GB of memory beside the program, for buckets of 32, 64 snippets, of"
        " which 25% is padding\n"
        "  3 s of arithmetic at the 10 GFLOP/s of a matrix product on this CPU;"
        " compiling, reading and saving come on top"
    )
    assert report_lib.cost_dict(found, rate=1e10)["seconds"] == 3
