"""What `mfdask bench` shows of its measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from mfdask.bench.peers import PEERS
from mfdask.bench.rerank import FIGURES, WEIGHTS
from mfdask.bench.whole import STEPS, total

from .terminal import table

_SWEEP_ROWS = {
    "bare_one_thread": "bare kernel, one thread",
    "bare": "bare kernel, all threads",
    "dask": "through Dask",
    "dask_with_test": "through Dask, test scored",
    "bayes": "the same, drawn (--model bayes)",
}


def sweep_view(values: dict[str, Any]) -> list[RenderableType]:
    """Show the sweeps of each data set, and what compiling takes."""
    view: list[RenderableType] = []
    for found in values["data_sets"]:
        view += [_seconds_table(found), *_peers_table(found), _words_on(found)]
    if len(values["data_sets"]) > 1:
        view.append(_scaling_table(values["data_sets"]))
    compiling = values["compile_seconds"]
    view.append(
        f"compiling: {compiling['cold']:.1f} s the first time, {compiling['warm']:.2f} s with a "
        f"warm cache (imports, {compiling['import']:.1f} s, not counted)"
    )
    return view


def _seconds_table(found: dict[str, Any]) -> Table:
    """Show what a sweep takes in each way, and what that is in operations."""
    made = table(
        f"{found['data']}: {found['ratings']:,} ratings, {found['users']:,} users, "
        f"{found['items']:,} items; {found['factors']} factors, {found['threads']} threads",
        "a sweep",
        "seconds",
        "over bare",
        "ns a rating",
        "GFLOP/s",
        "of GEMM",
        "GB/s",
    )
    bare = found["seconds"]["bare"]
    for name, what in _SWEEP_ROWS.items():
        if name not in found["seconds"]:
            continue
        seconds = found["seconds"][name]
        counted = (
            [
                f"{found['ns_per_rating'][name]:.1f}",
                f"{found['gflops'][name]:.1f}",
                f"{found['share_of_gemm'][name]:.1%}",
                f"{found['gigabytes_per_second'][name]:.1f}",
            ]
            if name in found["gflops"]
            else []
        )
        made.add_row(what, f"{seconds:.4g}", f"{seconds / bare:.3f}", *counted)
    return made


def _peers_table(found: dict[str, Any]) -> list[RenderableType]:
    """Show other libraries beside this one, if any was asked for: time, error and memory."""
    if not found["peers"]:
        return []
    equal, train = found["equal_seconds"], found["train"]
    made = table(
        f"{found['data']}: beside other libraries, {found['factors']} factors, "
        f"{found['threads']} threads",
        "method",
        "seconds a sweep",
        "ours over it",
        f"test RMSE after {equal['seconds']:.3g} s",
        "sweeps",
        "GB at most",
    )

    def row(
        method: str, seconds: float, ratio: str, rmse: float | None, sweeps: int | None, peak: int
    ) -> None:
        error = "" if rmse is None else f"{rmse:.4f}"
        memory = f"{peak / 1e9:.2f}"
        made.add_row(method, f"{seconds:.4g}", ratio, error, str(sweeps or ""), memory)

    ours = found["seconds"]["dask"], "", equal["rmse"], equal["sweeps"], train["peak_memory_bytes"]
    row("mfdask, als through Dask", *ours)
    for name, peer in found["peers"].items():
        if "missing" in peer:
            made.add_row(name, peer["missing"])
            continue
        ratio = f"{peer['dask_over_peer']:.3f}"
        there = peer["rmse"], peer["epochs"] if peer["rmse"] else None, peer["peak_bytes"]
        method = f"{PEERS[name].environment} {peer['version']}, {peer['method']}"
        row(method, peer["seconds_per_epoch"], ratio, *there)
    return [made]


def _words_on(found: dict[str, Any]) -> str:
    seconds, ratios, gflops = found["seconds"], found["ratios"], found["gflops"]
    train = found["train"]
    lines = [
        f"matrix product: {gflops['gemm']:.1f} GFLOP/s on {found['threads']} threads, "
        f"{gflops['gemm_one_thread']:.1f} on one",
        f"all threads are {ratios['one_thread_over_all']:.2f} times as fast as one; through Dask a "
        f"sweep takes {ratios['dask_over_bare']:.3f} of the bare kernel's time",
        f"train job: {train['seconds']:.1f} s in all, {train['seconds_per_sweep']:.4g} s a sweep, "
        f"at most {train['peak_memory_bytes'] / 2**20:,.0f} MiB over all processes",
    ]
    if found["test"]:
        lines.append(
            f"{found['test']:,} test ratings: predicted in {seconds['predict_test']:.4g} s, "
            f"evaluated in {seconds['evaluate_test']:.4g} s"
        )
        over = ratios["bayes_over_dask_with_test"]
        lines.append(f"a sweep of --model bayes takes {over:.2f} of one that scores the test, too")
    return "\n".join(lines) + "\n"


def kernel_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show what a bare sweep takes, and its parts where they were timed."""
    title = f"{found['data']}: {found['ratings']:,} ratings, {found['factors']} factors"
    made = table(f"{title}, {found['model']}", "a bare sweep", "seconds", "GFLOP/s", "of GEMM")
    for name, one in found["sweeps"].items():
        made.add_row(
            name, f"{one['seconds']:.4g}", f"{one['gflops']:.1f}", f"{one['share_of_gemm']:.1%}"
        )
    return [made, _parts_table(found["parts"])] if "parts" in found else [made]


def _parts_table(found: dict[str, Any]) -> Table:
    """Show the parts of a sweep, and how far each is from what the machine allows."""
    made = table("One thread", "part", "processor s", "GFLOP", "GB", "GFLOP/s", "GB/s", "of bound")
    for name, one in found["parts"].items():
        seconds = one["seconds"]
        rates = (one[what] / seconds for what in ("gflop", "gigabytes"))
        figures = f"{seconds:.4f}", f"{one['gflop']:.3g}", f"{one['gigabytes']:.3g}"
        made.add_row(name, *figures, *(f"{r:.1f}" for r in rates), f"{one['bound'] / seconds:.0%}")
    made.add_row(
        "all, as timed", f"{found['sweep']:.4f}", *[""] * 4, f"{found['share_of_gemm']:.0%}"
    )
    made.caption = (
        f"bound: matrix product {found['gflops']:.1f} GFLOP/s, copying "
        f"{found['gigabytes_per_second']:.1f} GB/s; what lies in a cache may exceed it"
    )
    return made


def topn_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show what all lists take, here and there, and whether they are the same."""
    return [_topn_table(found), _words_on_lists(found)]


def _topn_table(found: dict[str, Any]) -> Table:
    """Show what all lists take, here and there."""
    made = table(
        f"{found['data']}: {found['top']} of {found['items']:,} items for {found['users']:,} "
        f"users; {found['factors']} factors, {found['threads']} threads",
        "rows",
        "seconds",
        "µs a user",
        "implicit",
        "over implicit",
    )
    for name, one in found["models"].items():
        peer = (
            [f"{one['implicit_seconds']:.4g}", f"{one['over_implicit']:.3f}"]
            if "over_implicit" in one
            else []
        )
        a_user = one["seconds"] / found["users"] * 1e6
        made.add_row(name, f"{one['seconds']:.4g}", f"{a_user:.1f}", *peer)
    return made


def _words_on_lists(found: dict[str, Any]) -> str:
    """Say whether implicit finds the same lists."""
    if "missing" in found["implicit"]:
        return f"implicit: {found['implicit']['missing']}"
    same = ", ".join(f"{one['same_places']:.4%} of {n}" for n, one in found["models"].items())
    return (
        f"implicit {found['implicit']['version']} finds the same lists: the same item in {same} "
        "places, and equal scores, but for rounding, in the others"
    )


def rerank_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show what weights make of lists."""
    names = [name for name in (*FIGURES, "likeness", "divergence") if name in found["lists"][0]]
    made = table(f"{found['data']}: lists of 10", ", ".join(WEIGHTS), *names, "seconds")
    for one in found["lists"]:
        figures = [f"{one[name]:.4f}" for name in (*names, "seconds")]
        made.add_row(", ".join(f"{one[name]:g}" for name in WEIGHTS), *figures)
    return [made]


def _scaling_table(found: list[dict[str, Any]]) -> Table:
    """Show the time per rating from data set to data set."""
    made = table("Time per rating, ns", "data", "ratings", "bare", "Dask")
    for one in sorted(found, key=lambda one: int(one["ratings"])):
        each = one["ns_per_rating"]
        made.add_row(
            one["data"], f"{one['ratings']:,}", f"{each['bare']:.2f}", f"{each['dask']:.2f}"
        )
    return made


def _quality_view(quality: list[dict[str, Any]]) -> list[Table]:
    """Return the precision after equal time, and the sweeps that it took; nothing if there is none.

    A line is a time, a column what learned.
    """
    if not quality:
        return []
    names = list(quality[0]["precision"])
    view = table("Precision at 10 after equal time (sweeps)", "seconds", *names)
    for one in quality:
        cells = [f"{one['precision'][name]:.4f} ({one['sweeps'][name]})" for name in names]
        view.add_row(f"{one['seconds']:.4g}", *cells)
    return [view]


def ials_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show a sweep of ials beside implicit's, and lists after equal time."""
    title = f"{found['data']}: {found['ratings']:,} ratings, {found['factors']} factors"
    made = table(f"{title}, {found['threads']} threads", "a sweep", "seconds", "ours over it")
    made.add_row("mfdask, through Dask", f"{found['seconds']:.4g}", "")
    for name, peer in found["peers"].items():
        if "missing" in peer:
            made.add_row(name, peer["missing"], "")
        else:
            over, taken = peer["dask_over_peer"], peer["seconds_per_epoch"]
            what = f"implicit {peer['version']}, {peer['method']}"
            made.add_row(what, f"{taken:.4g}", f"{over:.3f}")
    return [made, *_quality_view(found["quality"])]


def bpr_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show a sweep of BPR beside implicit's, and lists after equal time."""
    title = f"{found['data']}: {found['ratings']:,} samples a sweep, {found['factors']} factors"
    made = table(f"{title}, {found['threads']} threads", "", "seconds a sweep", "over implicit")
    for name, taken in found["seconds"].items():
        ratio = found.get("over_implicit") if name == "bpr" else None
        made.add_row(name, f"{taken:.4g}", "" if ratio is None else f"{ratio:.3f}")
    if "missing" in found["implicit"]:
        made.add_row("implicit", found["implicit"]["missing"], "")
    return [made, *_quality_view(found["quality"])]


def ingest_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show ingest beside the plain way, time and memory."""
    head = f"{found['ingest']['ratings']:,} ratings, {found['file_bytes'] / 2**20:,.0f} MiB"
    made = table(head, "", "seconds", "MiB at most", "over pandas")
    for name, what in (("ingest", "mfdask ingest"), ("baseline", "pandas and SciPy")):
        one = found[name]
        if "missing" in one:
            made.add_row(f"{what}: {one['missing']}")
            continue
        ratio = found.get("ingest_over_baseline") if name == "ingest" else None
        memory = f"{one['peak_memory_bytes'] / 2**20:,.0f}"
        made.add_row(what, f"{one['seconds']:.2f}", memory, "" if ratio is None else f"{ratio:.3f}")
    return [made]


def dense_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show the completed matrix beside the product and plain writes."""
    head = f"{found['users']:,} users x {found['items']:,} items, {found['dtype']}"
    made = table(head, "", "seconds", "G predictions/s", "GB/s")
    cells = found["users"] * found["items"]
    for name, seconds in found["seconds"].items():
        rates = f"{cells / seconds / 1e9:.2f}", f"{found['bytes'] / seconds / 1e9:.2f}"
        made.add_row(name, f"{seconds:.2f}", *rates)
    made.caption = f"densify reaches {found['share_of_limit']:.2f} of what the slower one allows"
    return [made]


def whole_view(found: dict[str, Any]) -> list[RenderableType]:
    """Show every step from a CSV to the report, beside a script."""
    here, script = found["here"], found["script"]
    head = f"{found['ratings']:,} ratings, {found['file_bytes'] / 2**20:,.0f} MiB"
    made = table(head, "step", "seconds", "GB at most", "script, seconds", "GB at most")
    for step, words in STEPS.items():
        made.add_row(words, *_cost(here[step]), *_cost(script.get(step)))
    sides = [total(side) for side in (here, script) if "missing" not in side]
    made.add_row("all", *(cell for side in sides for cell in _cost(side)))
    made.caption = script.get("missing")
    return [made]


def _cost(one: dict[str, float] | None) -> tuple[str, ...]:
    """Return the cells of what a step has taken."""
    if one is None:
        return ()
    return f"{one['seconds']:,.1f}", f"{one['peak_bytes'] / 1e9:.2f}"


#: What each measurement shows, by the name of its command.
VIEWS: dict[str, Callable[[dict[str, Any]], list[RenderableType]]] = {
    "bpr": bpr_view,
    "dense": dense_view,
    "ials": ials_view,
    "ingest": ingest_view,
    "kernel": kernel_view,
    "rerank": rerank_view,
    "sweep": sweep_view,
    "topn": topn_view,
    "whole": whole_view,
}
