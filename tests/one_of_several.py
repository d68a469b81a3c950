"""Run by test_distributed, once for each process: trains, and localizes.

Its argument is JSON: the options of `distributed.started`; config, data and folder of the
run; where SCPs go, or none and the run is not evaluated; and maybe what happens to which
process after which step.
"""

import json
import os
import pathlib
import signal
import sys

# Nearly all of the time goes into compiling, and little of it matters here.
os.environ["XLA_FLAGS"] = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

from cleannet_jax import config as config_lib
from cleannet_jax import distributed, errors, experiment, localize, runs, train


def happen(what):
    """What a person, a machine or a file can do to a process."""
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
    if what == "fail":
        raise errors.InputError("video7.npy: found 3 columns, expected 4")


def main(given):
    what, process, step = given["event"] or ("", 0, 0)
    take_step, taken = train.train_step, 0

    def take_step_then(state, batch, stage):
        nonlocal taken
        found = take_step(state, batch, stage)
        taken += 1
        if taken == step and distributed.index() == process:
            happen(what)
        return found

    train.train_step = take_step_then
    with distributed.started(**given["place"]):
        config = config_lib.from_json(given["config"], place="config")
        train.check_devices(config)
        data, folder = given["data"], pathlib.Path(given["folder"])
        if given["scp"]:
            rows = experiment.train_and_evaluate(config, "plain", data, folder)
            print(f"{len(rows)} rows")
            localize_all(config, data, folder, given["scp"])
            return
        dataset = experiment.open_dataset(config, data)
        description = runs.describe(config, dataset, data)
        with runs.open_run(folder, description):
            _, params = train.train(config, dataset, folder)
            if distributed.is_first():
                runs.write_model(folder, description, dataset, params)


def localize_all(config, data, folder, scp):
    """Localizes in all videos by the run in a folder."""
    dataset = experiment.open_dataset(config, data)
    params = experiment.restore(folder, runs.read_description(folder))
    models = [localize.Model(config, params)]
    found = localize.localize(models, dataset, dataset.ids, scp=scp)
    print(f"{sum(len(one.scores) for one in found)} detections")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except errors.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except errors.Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(128 + stop.signal_number)
