"""Plots as values for server-side SVG: where each point, bar and tick stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class PainPlot:
    """Pain 0-10 over the days after a procedure, in a box of ``width`` by ``height`` with a frame inside."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    line: str
    points: tuple[tuple[float, float, float, datetime], ...]
    flags: tuple[tuple[float, str, datetime], ...]
    day_ticks: tuple[tuple[float, int], ...]
    score_ticks: tuple[tuple[float, int], ...]
    baseline_y: float | None
    mild_y: float
    severe_y: float
    is_empty: bool


def pain_plot(
    scores: Sequence[tuple[datetime, float]],
    flags: Sequence[tuple[datetime, str]],
    procedure_at: datetime,
    now: datetime,
    baseline: int | None,
    width: int = 640,
    height: int = 220,
) -> PainPlot:
    """Lay out pain scores. Bands: mild to 3, severe from 8 (clinical notes, pain-score rules)."""
    left, right, top, bottom = 34, width - 12, 14, height - 28
    latest = max([at for at, _ in scores] + [now, procedure_at + timedelta(days=3)])
    span = max(1.0, (latest - procedure_at) / timedelta(days=1))

    def x(at: datetime) -> float:
        day = max(0.0, (at - procedure_at) / timedelta(days=1))
        return round(left + (right - left) * min(day / span, 1.0), 1)

    def y(score: float) -> float:
        return round(bottom - (bottom - top) * score / 10, 1)

    points = tuple((x(at), y(score), score, at) for at, score in scores)
    return PainPlot(
        width, height, left, right, top, bottom,
        line=" ".join(f"{px},{py}" for px, py, _, _ in points),
        points=points,
        flags=tuple((x(at), urgency, at) for at, urgency in flags if at >= procedure_at),
        day_ticks=tuple((x(procedure_at + timedelta(days=day)), day) for day in day_marks(span)),
        score_ticks=tuple((y(score), score) for score in (0, 2, 4, 6, 8, 10)),
        baseline_y=y(baseline) if baseline is not None else None,
        mild_y=y(3),
        severe_y=y(8),
        is_empty=not points,
    )  # fmt: skip


def day_marks(span: float, most: int = 9) -> list[int]:
    """Days to write under an axis of ``span`` days: steps of 1, 2, 7, 14 ... so that they stay apart."""
    for step in (1, 2, 3, 7, 14, 28, 56, 112):
        if span / step <= most:
            return list(range(0, int(span) + 1, step))
    return [0, int(span)]


@dataclass(frozen=True)
class HeatPlot:
    """Body temperatures over the same days, in degrees Fahrenheit; ``fever_y`` is where fever begins."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    points: tuple[tuple[float, float, float, datetime], ...]
    ticks: tuple[tuple[float, int], ...]
    day_ticks: tuple[tuple[float, int], ...]
    fever_y: float


LOWEST, HIGHEST = 96, 106


def heat_plot(
    readings: Sequence[tuple[datetime, float]], procedure_at: datetime, now: datetime, fever: float,
    width: int = 640, height: int = 150,
) -> HeatPlot | None:  # fmt: skip
    """Lay out temperatures on the days of the pain plot; None when there are none."""
    if not readings:
        return None
    left, right, top, bottom = 34, width - 12, 14, height - 28
    latest = max([at for at, _ in readings] + [now, procedure_at + timedelta(days=3)])
    span = max(1.0, (latest - procedure_at) / timedelta(days=1))

    def x(at: datetime) -> float:
        return round(
            left + (right - left) * min(max(0.0, (at - procedure_at) / timedelta(days=1)) / span, 1.0), 1
        )

    def y(degrees: float) -> float:
        inside = min(max(degrees, LOWEST), HIGHEST) - LOWEST
        return round(bottom - (bottom - top) * inside / (HIGHEST - LOWEST), 1)

    return HeatPlot(
        width, height, left, right, top, bottom,
        points=tuple((x(at), y(degrees), degrees, at) for at, degrees in readings),
        ticks=tuple((y(degrees), degrees) for degrees in (96, 98, 100, 102, 104)),
        day_ticks=tuple((x(procedure_at + timedelta(days=day)), day) for day in day_marks(span)),
        fever_y=y(fever),
    )  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One bar of parts stacked from the bottom; ``parts``: class name, top, height, value."""

    x: float
    width: float
    label: str
    parts: tuple[tuple[str, float, float, float], ...]


def stacked_bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], width: int = 640, height: int = 200
) -> tuple[tuple[Bar, ...], float]:
    """Bars for labelled rows of (class, value) parts, and the largest total (for the axis)."""
    top, bottom, left, right = 14, height - 28, 34, width - 8
    most = max([sum(value for _, value in parts) for _, parts in rows] + [1.0])
    step = (right - left) / max(1, len(rows))
    bars = []
    for index, (label, parts) in enumerate(rows):
        at, drawn = float(bottom), []
        for name, value in parts:
            size = (bottom - top) * value / most
            at -= size
            drawn.append((name, round(at, 1), round(size, 1), value))
        bars.append(Bar(round(left + step * (index + 0.15), 1), round(step * 0.7, 1), label, tuple(drawn)))
    return tuple(bars), most
