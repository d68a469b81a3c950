"""After one epoch of videos of mixed lengths nothing is compiled anew."""

import dataclasses

import jax

from cleannet_jax import experiment, localize, methods, train
from cleannet_jax.data import pipeline


def compiled(caplog, function):
    """What JAX says that it has compiled or traced during a call."""
    caplog.clear()
    with jax.log_compiles():
        function()
    said = [record.getMessage() for record in caplog.records]
    return [text for text in said if text.startswith(("Compiling", "Finished tracing"))]


def test_another_run_on_mixed_lengths_compiles_nothing(
    feature_folder, tiny_config, tmp_path, caplog
):
    dataset = experiment.open_dataset(tiny_config, str(feature_folder))
    epoch = len(dataset.train_ids)
    config = dataclasses.replace(
        methods.apply(tiny_config, "full"), num_buckets=3, head_steps=epoch, steps=epoch
    )
    lengths = [dataset.videos[name].length for name in dataset.train_ids]
    assert len(pipeline.buckets_for(lengths, count=3)) == 2

    key = jax.random.key(0)
    create = train.create_classifier_params
    classified = create(key, dataset.streams, len(dataset.categories), config)
    generator = train.create_generator_params(key, dataset.streams.width, config)

    def run(seed):
        seeded = dataclasses.replace(config, seed=seed)
        head, cleannet = (
            train.Stage(name, seeded, dataset.streams) for name in ("head", "cleannet")
        )
        place = tmp_path / f"seed{seed}"
        trained = train.train_stage(head, classified, dataset, place)
        trained = methods.classifier(config).finish(trained, dataset.streams)
        params = {"head": trained, "generator": generator}
        params = train.train_stage(cleannet, params, dataset, place)
        localize.localize([localize.Model(seeded, params)], dataset, dataset.train_ids)

    warm_up = compiled(caplog, lambda: run(0))
    assert any("_train_step" in text for text in warm_up)
    assert compiled(caplog, lambda: run(1)) == []
