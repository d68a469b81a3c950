"""Times the evaluator beside other ways to compute it: python benchmarks/evaluator.py.

Six proposals for each of T snippets are scored in N categories on the CPU. The
contenders take turns in one process; the table has medians in milliseconds and how
often ours fits into each. PyTorch is left out where it is not installed. Its ways are
prefix sums gathered with `embedding_bag`, eager and compiled; it keeps [P, N], which
suits it best, where ours returns [N, P]. The floor is the time to read the SCP and to
write the scores once at the speed of a copy.
"""

import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax.ops import contrast, edges

try:
    import torch
    from torch.nn import functional
except ImportError:
    torch = None

SIZES = ((300, 20), (1000, 100), (4000, 100))  # (T, N)
ANCHORS = (1, 2, 4, 8, 16, 32)
TASKS = ("contrast", "four scores", "contrast and gradient")
ROUNDS = 10
WARM_UPS, REPEATS = 3, 5  # calls of a contender in each of its turns
SLOW = 0.2  # seconds; what takes longer has one turn only

Task = Callable[[], object]


def sample(snippets: int, categories: int) -> tuple[np.ndarray, np.ndarray]:
    """A random SCP [T, N] and jittered anchors [P, 2]."""
    rng = np.random.default_rng(0)
    scp = rng.random((snippets, categories), np.float32)
    centre = np.repeat(np.arange(snippets) + 0.5, len(ANCHORS))
    length = np.tile(ANCHORS, snippets) * np.exp(0.3 * rng.normal(size=len(centre)))
    proposals = np.stack([centre - length / 2, centre + length / 2], axis=1)
    return scp, proposals.astype(np.float32)


def jax_tasks(scores, scp: np.ndarray, proposals: np.ndarray) -> dict[str, Task]:
    """Jitted tasks of a function from SCP and proposals to `ProposalScores`."""
    scp, proposals = jnp.asarray(scp), jnp.asarray(proposals)

    def contrast_of(proposals, scp):
        return scores(scp, proposals).contrast

    def total(proposals, scp):
        return jnp.sum(contrast_of(proposals, scp))

    functions = (
        contrast_of,
        lambda proposals, scp: scores(scp, proposals)[:4],
        jax.value_and_grad(total),
    )

    def task(function):
        jitted = jax.jit(function)
        return lambda: jax.block_until_ready(jitted(proposals, scp))

    return {
        name: task(function) for name, function in zip(TASKS, functions, strict=True)
    }


def vmapped_scores(scp: jax.Array, proposals: jax.Array) -> contrast.ProposalScores:
    """Plain JAX: the equations for one proposal of one category, vmapped over both."""

    def one(sums, edge_sums, proposal):
        def mean(sums, start, end):
            time = jnp.clip(jnp.stack([start, end]), 0, len(sums) - 1)
            before = jnp.minimum(time.astype(jnp.int32), len(sums) - 2)
            fraction = time - before
            upto = sums[before] * (1 - fraction) + sums[before + 1] * fraction
            return (upto[1] - upto[0]) / (end - start)

        start, end = proposal
        quarter = (end - start) / 4
        action = mean(sums, start + quarter, end - quarter)
        starting = mean(edge_sums, start - quarter, start + quarter)
        starting -= mean(sums, start - quarter, start)
        ending = -mean(edge_sums, end - quarter, end + quarter)
        ending -= mean(sums, end, end + quarter)
        total = action + (starting + ending) / 2
        # Nobody else makes the fifth score, so it is not timed.
        return contrast.ProposalScores(action, starting, ending, total, total)

    def prefix_sums(signal):
        return jnp.pad(jnp.cumsum(signal), (1, 0))

    def of_category(psi):
        sums = prefix_sums(psi), prefix_sums(edges.edgeness(psi))
        return jax.vmap(functools.partial(one, *sums))(proposals)

    return jax.vmap(of_category, in_axes=1)(scp)


def numpy_loop(scp: np.ndarray, edge: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """Contrast by slices, one proposal after the other, in whole snippets: [P, N]."""

    def mean(signal, start, end):
        start, end = max(round(start), 0), min(round(end), len(signal))
        return signal[start:end].mean(axis=0) if start < end else 0.0

    def score(start, end):
        quarter = (end - start) / 4
        starting = mean(edge, start - quarter, start + quarter)
        starting -= mean(scp, start - quarter, start)
        ending = -mean(edge, end - quarter, end + quarter)
        ending -= mean(scp, end, end + quarter)
        return mean(scp, start + quarter, end - quarter) + (starting + ending) / 2

    return np.stack([score(*proposal) for proposal in proposals.tolist()])


def copy_of(scp: np.ndarray, proposals: np.ndarray, *, scores: int) -> Task:
    """A copy of as many bytes as reading the SCP and writing some scores takes."""
    size = scp.size + scores * len(proposals) * scp.shape[1]
    source = np.ones(size // 2, np.float32)
    return functools.partial(np.copyto, np.zeros_like(source), source)


def torch_edgeness(psi):
    """Eqs. 6 and 7 for an SCP [T, N]."""
    pool = functools.partial(functional.max_pool1d, kernel_size=7, stride=1, padding=3)
    high, argmax = (x[0] for x in pool(psi.T[None], return_indices=True))
    low, argmin = (x[0] for x in pool(-psi.T[None], return_indices=True))
    snippet, gap = torch.arange(len(psi))[None], (argmax - argmin).abs()
    temporal_contrast = torch.where(gap > 0, (high + low) / gap.clamp(min=1), 0.0)
    rising = ((argmin <= snippet) & (snippet < argmax)).float()
    falling = ((argmin > snippet) & (snippet >= argmax)).float()
    return ((rising - falling) * temporal_contrast).T.contiguous()


# Weights of the prefix sums of ψ at the six bounds of a proposal, in order of time,
# and of those of e at the four that are not its own, each over the proposal's length.
ACTION = (0, 0, -2, 2, 0, 0), (0, 0, 0, 0)
STARTING = (4, -4, 0, 0, 0, 0), (-2, 2, 0, 0)
ENDING = (0, 0, 0, 0, 4, -4), (0, 0, 2, -2)
CONTRAST = (2, -2, -2, 2, 2, -2), (-1, 1, 1, -1)


def torch_scores(scp, proposals, kinds):
    """Scores [P, N] by bags of rows of prefix sums."""
    snippets = len(scp)
    zero = torch.zeros(1, scp.shape[1])
    edge = torch_edgeness(scp)
    table = torch.cat([zero, scp.cumsum(0), zero, edge.cumsum(0)])
    start, end = proposals.unbind(1)
    length = (end - start)[:, None]
    quarter = (end - start) / 4
    bounds = [start - quarter, start, start + quarter]
    bounds = torch.stack(bounds + [end - quarter, end, end + quarter], 1)
    bounds = bounds.clamp(0, snippets)
    before = bounds.floor().clamp(max=snippets - 1)
    fraction, row = bounds - before, before.long()
    edges = [0, 2, 3, 5]
    rows = torch.cat([row, row[:, edges] + snippets + 1], 1)
    share = torch.cat([fraction, fraction[:, edges]], 1)

    def bag(kind):
        weight = torch.tensor(kind[0] + kind[1], dtype=torch.float32) / length
        weights = torch.cat([weight * (1 - share), weight * share], 1)
        return functional.embedding_bag(
            torch.cat([rows, rows + 1], 1),
            table,
            mode="sum",
            per_sample_weights=weights,
        )

    return [bag(kind) for kind in kinds]


def torch_tasks(
    scp: np.ndarray, proposals: np.ndarray, *, compiled: bool
) -> dict[str, Task]:
    """The same tasks in PyTorch."""
    torch.compiler.reset()
    scores = torch.compile(torch_scores) if compiled else torch_scores
    scp, proposals = torch.from_numpy(scp), torch.from_numpy(proposals)

    def forward(kinds):
        with torch.no_grad():
            return scores(scp, proposals, kinds)

    def gradient():
        leaf = proposals.clone().requires_grad_()
        total = scores(scp, leaf, (CONTRAST,))[0].sum()
        total.backward()
        return total, leaf.grad

    everything = (ACTION, STARTING, ENDING, CONTRAST)
    functions = (
        functools.partial(forward, (CONTRAST,)),
        functools.partial(forward, everything),
        gradient,
    )
    return dict(zip(TASKS, functions, strict=True))


def contenders(scp: np.ndarray, proposals: np.ndarray) -> dict[str, dict[str, Task]]:
    """Tasks by contender, ours first."""
    tasks = {
        "ours": jax_tasks(contrast.evaluate_proposals, scp, proposals),
        "JAX, vmapped": jax_tasks(vmapped_scores, scp, proposals),
    }
    if torch:
        tasks["PyTorch"] = torch_tasks(scp, proposals, compiled=False)
        tasks["PyTorch, compiled"] = torch_tasks(scp, proposals, compiled=True)
    tasks["floor"] = {
        "contrast": copy_of(scp, proposals, scores=1),
        "four scores": copy_of(scp, proposals, scores=4),
    }
    return tasks


def seconds(task: Task) -> list[float]:
    """Times of a task, once its threads are awake and those of others are asleep."""
    for _ in range(WARM_UPS):
        task()
    times = [time.perf_counter()]
    for _ in range(REPEATS):
        task()
        times.append(time.perf_counter())
    return list(np.diff(times))


def turns(
    tasks: dict[str, dict[str, Task]], rounds: int = ROUNDS
) -> dict[str, dict[str, list[float]]]:
    """Seconds of every call by contender and task; the contenders take turns."""
    times = {name: {task: [] for task in of} for name, of in tasks.items()}
    slow = set()
    for _ in range(rounds):
        for name, of in tasks.items():
            for task, function in of.items():
                if (name, task) in slow:
                    continue
                times[name][task] += seconds(function)
                if times[name][task][0] > SLOW:
                    slow.add((name, task))
    return times


def medians(tasks: dict[str, dict[str, Task]]) -> dict[str, dict[str, float]]:
    """Median seconds by contender and task; the contenders take turns."""
    return {
        name: {task: statistics.median(values) for task, values in of.items()}
        for name, of in turns(tasks).items()
    }


def print_table(results: dict[str, dict[str, float]]) -> None:
    """Milliseconds and, in brackets, how many of ours they are."""
    print(f"{'':20}" + "".join(f"{task:>26}" for task in TASKS))
    for name, row in results.items():
        cells = (
            f"{1e3 * row[task]:.2f} ms ({row[task] / results['ours'][task]:.2f})"
            if task in row
            else ""
            for task in TASKS
        )
        print(f"{name:20}" + "".join(f"{cell:>26}" for cell in cells))


def main() -> None:
    # Once 31 MiB were freed, glibc keeps freed memory up to that size at hand instead of
    # fetching it page by page in every call; it makes up to half of everyone's times.
    np.ones(31 * 2**17)
    print(f"JAX {jax.__version__}, PyTorch {torch.__version__ if torch else 'absent'}")
    for snippets, categories in SIZES:
        scp, proposals = sample(snippets, categories)
        print(f"\nT {snippets}, N {categories}, P {len(proposals)}")
        print_table(medians(contenders(scp, proposals)))
        few = proposals[:: max(len(proposals) // 600, 1)]
        edge = np.asarray(jax.vmap(edges.edgeness, 1, 1)(scp))
        began = time.perf_counter()
        numpy_loop(scp, edge, few)
        loop = (time.perf_counter() - began) * len(proposals) / len(few)
        print(f"{'NumPy loop':20}{1e3 * loop:17.0f} ms")


if __name__ == "__main__":
    main()
