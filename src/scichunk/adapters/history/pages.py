"""The history for people: a table of text, and a static page."""

from __future__ import annotations

import datetime as dt
import html
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from scichunk.adapters.history.store import runs
from scichunk.counters import METRICS
from scichunk.sources.output import open_output

__all__ = ["report", "to_html"]

_WIDTH: Final = 900
_HEIGHT: Final = 160
_COLOURS: Final = ("#2b6cb0", "#dd6b20", "#2f855a", "#805ad5", "#b83280", "#718096")
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em;color:#1a202c}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #e2e8f0}"
    "td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto}svg text{font-size:11px;fill:#4a5568}"
    ".wide{overflow-x:auto}.key span{display:inline-block;margin-right:1.5em}"
    ".key i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}"
)


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d")


def _row(run: dict[str, Any]) -> list[str]:
    total = {
        name: sum(read[name] for read in run["reads"])
        for name in ("fetched", "requests", "retries", "chunks", "fetch_seconds", "decode_seconds")
    }
    seconds = "running" if run["finished"] is None else f"{run['finished'] - run['started']:.1f}"
    began = dt.datetime.fromtimestamp(run["started"], tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    return [
        began, run["name"] or "-", str(run["workers"]), seconds, f"{run['tasks']:,}", str(run["erred"]), f"{total['fetched'] / 1e6:,.1f}",
        f"{int(total['requests']):,}", str(int(total["retries"])), f"{int(total['chunks']):,}", f"{total['fetch_seconds']:.1f}",
        f"{total['decode_seconds']:.1f}", f"{(run['peak_memory'] or 0) / 1e6:,.0f}",
    ]  # fmt: skip


_HEADS: Final = (
    "began (UTC)", "name", "workers", "seconds", "tasks", "erred", "MB", "requests", "retries", "chunks", "fetch s", "decode s", "peak MB",
)  # fmt: skip


def report(since: Any = None, *, path: str | None = None) -> str:
    """Return a table of what was computed, as text.

    Parameters
    ----------
    since, path
        As in :func:`runs`.
    """
    found = runs(since, path=path)
    if not found:
        return "nothing was computed, or scichunk.history.start() was not called"
    table = [list(_HEADS), *map(_row, found)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEADS))]
    return "\n".join(
        "  ".join(t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
        for line in table
    )


def to_html(target: Any, since: Any = None, *, path: str | None = None) -> None:
    """Write a static page with throughput, waiting and decoding by day and folder, and a table of all runs.

    Parameters
    ----------
    target
        Path or URL of the page; one that is there is replaced.
    since, path
        As in :func:`runs`.

    Raises
    ------
    SourceError
        If it cannot be written.
    """
    found = runs(since, path=path)
    days = _days(found)
    series = _by_folder(found, days)
    key = "".join(
        f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>'
        for name, colour in zip(series, _COLOURS, strict=False)
    )

    def chart(title: str, amount: Callable[[Mapping[str, float]], float]) -> str:
        return _bars(title, days, [[amount(sums) for sums in by_day] for by_day in series.values()])

    charts = [
        chart("GB fetched a day", lambda r: r["fetched"] / 1e9),
        chart("Seconds of waiting for bytes a day", lambda r: r["fetch_seconds"]),
        chart("Seconds of decoding a day", lambda r: r["decode_seconds"]),
        chart("MB of values a second of fetching, decoding and placing", _rate),
    ]
    heads = "".join(f"<th>{h}</th>" for h in _HEADS)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(t)}</td>" for t in _row(run)) + "</tr>" for run in found[::-1])
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>scichunk history</title><style>{_STYLE}</style>'
        f'<h1>What was computed</h1><p>{len(found)} runs.</p><p class="key">{key}</p>{"".join(charts)}'
        f'<h2>Runs</h2><div class="wide"><table><tr>{heads}</tr>{rows}</table></div></html>'
    )
    with open_output(target, overwrite=True) as file:
        file.write(text.encode())


def _days(found: Sequence[dict[str, Any]]) -> list[str]:
    """All days from the first run to the last, those without runs too."""
    if not found:
        return []
    first, last = (dt.date.fromisoformat(_day(run["started"])) for run in (found[0], found[-1]))
    return [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def _by_folder(found: Sequence[dict[str, Any]], days: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """Counters by day of the folders of which most was fetched, and of all others together."""
    fetched: Counter[str] = Counter()
    for run in found:
        for read in run["reads"]:
            fetched[read["dataset"]] += read["fetched"]
    shown = [name for name, _ in fetched.most_common(len(_COLOURS) - 1)]
    others = f"{len(fetched) - len(shown)} others"
    names = shown + ([others] if len(fetched) > len(shown) else [])
    sums: dict[str, list[dict[str, float]]] = {n: [{m: 0.0 for m in METRICS} for _ in days] for n in names}  # noqa: C420  # keys are texts
    numbers = {day: n for n, day in enumerate(days)}
    for run in found:
        for read in run["reads"]:
            name = read["dataset"] if read["dataset"] in sums else others
            mine = sums[name][numbers[_day(run["started"])]]
            for metric in METRICS:
                mine[metric] += read[metric]
    return sums


def _rate(sums: Mapping[str, float]) -> float:
    seconds = sums["fetch_seconds"] + sums["decode_seconds"] + sums["place_seconds"]
    return sums["decoded"] / 1e6 / seconds if seconds else 0.0


def _bars(title: str, days: Sequence[str], series: Sequence[Sequence[float]]) -> str:
    """Draw bars side by side, one for each folder and day."""
    most = max((value for values in series for value in values), default=0.0)
    parts = [f'<h2>{title}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT + 30}" role="img" aria-label="{title}">']
    left, wide = 60, (_WIDTH - 70) / max(1, len(days))
    for share in (0.0, 0.5, 1.0):
        y = _HEIGHT - share * (_HEIGHT - 12)
        parts.append(f'<line x1="{left}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{most * share:.3g}</text>')
    thick = min(40.0, wide * 0.8 / max(1, len(series)))
    for number, day in enumerate(days):
        first = left + wide * number + (wide - thick * len(series)) / 2
        for place, values in enumerate(series):
            high = values[number] / most * (_HEIGHT - 12) if most else 0.0
            x, y = first + place * thick, _HEIGHT - high
            size = f'width="{thick:.1f}" height="{high:.1f}"'
            label = f"<title>{day}: {values[number]:.4g}</title>"
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{_COLOURS[place]}">{label}</rect>')
        if number % -(-len(days) // 9) == 0:  # more of them would run into each other
            parts.append(
                f'<text x="{left + wide * (number + 0.5):.1f}" y="{_HEIGHT + 18}" text-anchor="middle">{day}</text>'
            )
    return "".join([*parts, "</svg>"])
