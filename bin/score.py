"""Scores proposals of any origin by the contrast in snippet-level predictions.

One video, proposals in snippets, (P, 2) or (N, P, 2):

    python bin/score.py --scp video.npy --proposals proposals.npz --out scored.npz

Many videos, proposals in seconds as ActivityNet JSON; SCP_FOLDER holds ID.npy (T, N)
for every video and scp.json, {"categories": [N names]} (bin/localize.py --scp writes
it, with the time base of every video):

    python bin/score.py --scp SCP_FOLDER --proposals proposals.json \\
        --snippet-seconds 0.5 --out scored.json

The output is the input with five scores at every proposal: action (s_a), starting
(s_s), ending (s_e), contrast (s) and outer_inner, AutoLoc's; in JSON, "score" becomes
the one that --evaluator names and the score that was there stays under "input_score".
"""

import argparse
import math
import sys

from cleannet_jax import errors, score


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scp",
        required=True,
        metavar="PATH",
        help="(T, N) .npy file, probabilities in [0, 1], or a folder of them",
    )
    parser.add_argument(
        "--proposals",
        required=True,
        metavar="FILE",
        help=".npz with the array `proposals` in snippets, ActivityNet JSON, or .txt, a "
        "proposal list of SSN (structured segment networks)",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="same kind of file as --proposals; JSON for a proposal list of SSN",
    )
    parser.add_argument(
        "--evaluator",
        choices=score.EVALUATORS,
        default="contrast",
        help="what becomes the score of a proposal in JSON (default: contrast)",
    )
    parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="annotation file with the durations that a proposal list of SSN lacks",
    )
    parser.add_argument(
        "--snippet-seconds",
        type=float,
        metavar="S",
        help="seconds from one snippet to the next, for JSON: 15 frames at 30 fps are "
        "0.5 (default: as SCP_FOLDER/scp.json says)",
    )
    parser.add_argument(
        "--offset-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="time at which snippet 0 starts (default: 0)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        for option in ("snippet_seconds", "offset_seconds"):
            value = getattr(parsed, option)
            lowest = 0 if option == "snippet_seconds" else -math.inf
            if value is not None and not lowest < value < math.inf:
                name = option.replace("_", "-")
                raise errors.InputError(
                    f"--{name}: found {value}, expected a number of seconds"
                )
        if parsed.out in (parsed.proposals, parsed.scp):
            raise errors.InputError(f"--out: {parsed.out} is an input of this command")
        if parsed.proposals.endswith(".npz"):
            count = score.score_arrays(parsed.scp, parsed.proposals, parsed.out)
        else:
            count = score.score_submission(
                parsed.scp,
                parsed.proposals,
                parsed.out,
                snippet_seconds=parsed.snippet_seconds,
                offset_seconds=parsed.offset_seconds,
                annotations=parsed.annotations,
                evaluator=parsed.evaluator,
            )
    except errors.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{count} proposals scored: {parsed.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
