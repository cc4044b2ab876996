"""Reads back from a matplotlib figure what was drawn, as E2B's SDKs describe charts."""
import re
from typing import Any, Callable, Dict, List, Optional

from matplotlib import dates
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle, Wedge

from .values import plain

Chart = Dict[str, Any]
_UNIT = re.compile(r"\((.+?)\)|\[(.+?)\]")
_DIGITS = 8


def chart_of(figure: Any) -> Optional[Chart]:
    """None for a figure in which nothing was drawn; several axes become one chart of charts."""
    axes = figure.get_axes()
    drawn = [one for one in axes if one.has_data()]
    if not drawn:
        return None
    if len(axes) == 1:
        return _axes_chart(drawn[0])
    title = figure._suptitle.get_text() if figure._suptitle is not None else None
    return {"type": "superchart", "title": title, "elements": [_axes_chart(one) for one in drawn]}


def _axes_chart(axes: Any) -> Chart:
    kind, read = _kind(axes)
    chart: Chart = {"type": kind, "title": axes.get_title() or None, "elements": []}
    if read is not None:
        read(axes, chart)
    return chart


def _kind(axes: Any) -> Any:
    """By what is there: wedges make a pie, groups of rectangles bars, medians across boxes a box plot."""
    patches = list(axes.patches)
    if patches and all(isinstance(patch, Wedge) for patch in patches):
        return "pie", _pie
    if any(isinstance(container, BarContainer) for container in axes.containers):
        return "bar", _bar
    if _boxes(axes) and _series(axes):
        return "box_and_whisker", _box
    if patches:
        return "unknown", None
    if _series(axes) and not axes.collections:
        return "line", _line
    if axes.collections and all(isinstance(one, PathCollection) for one in axes.collections) and not _series(axes):
        return "scatter", _scatter
    return "unknown", None


def _rounded(number: Any) -> float:
    return float(f"{float(number):.{_DIGITS}g}")


def _unit(label: Optional[str]) -> Optional[str]:
    found = _UNIT.search(label or "")
    return (found.group(1) or found.group(2)) if found else None


def _labels(axes: Any, chart: Chart, swapped: bool = False) -> None:
    x, y = axes.get_xlabel() or None, axes.get_ylabel() or None
    if swapped:
        x, y = y, x
    chart.update(x_label=x, y_label=y, x_unit=_unit(x), y_unit=_unit(y))


def _scales(axes: Any, chart: Chart) -> None:
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        ticks, texts = axis.get_majorticklocs(), [text.get_text() for text in axis.get_majorticklabels()]
        if isinstance(axis.get_converter() if hasattr(axis, "get_converter") else axis.converter, _DATE_CONVERTERS):
            scale, shown = "datetime", [dates.num2date(tick).isoformat() for tick in ticks]
        else:
            scale, shown = _scale(axis, ticks, texts), [plain(tick) for tick in ticks]
        chart.update({f"{name}_ticks": shown, f"{name}_tick_labels": texts, f"{name}_scale": scale})


_DATE_CONVERTERS = (dates.DateConverter, dates.ConciseDateConverter, dates._SwitchableDateConverter)


def _scale(axis: Any, ticks: Any, texts: List[str]) -> str:
    """Categories lie at 0, 1, 2 … and are called otherwise."""
    counted = len(ticks) > 0 and all(tick == i and texts[i : i + 1] != [str(i)] for i, tick in enumerate(ticks))
    named = counted and all(not _is_number(text) for text in texts)
    return "categorical" if axis.get_scale() == "linear" and named else axis.get_scale()


def _is_number(text: str) -> bool:
    try:
        float(text.replace("\N{MINUS SIGN}", "-"))
        return True
    except ValueError:
        return text == ""


def _series(axes: Any) -> List[Line2D]:
    """Lines of data; those across the whole of the axes (axhline, axvline) mark something."""
    marks = [axes.get_xaxis_transform(which="grid"), axes.get_yaxis_transform(which="grid")]
    return [line for line in axes.get_lines() if not any(line.get_transform() is mark for mark in marks)]


def _line(axes: Any, chart: Chart) -> None:
    _labels(axes, chart)
    _scales(axes, chart)
    for number, line in enumerate(_series(axes)):
        label = line.get_label()
        name = f"Line {number}" if label.startswith("_child") else label
        points = [[plain(x), plain(y)] for x, y in zip(line.get_xdata(), line.get_ydata())]
        chart["elements"].append({"label": name, "points": points})


def _scatter(axes: Any, chart: Chart) -> None:
    _labels(axes, chart)
    _scales(axes, chart)
    at = _moment if chart["x_scale"] == "datetime" else plain
    for number, collection in enumerate(axes.collections):
        label = collection.get_label()
        name = f"Group {number}" if label.startswith("_child") else label
        points = [[at(x), plain(y)] for x, y in collection.get_offsets()]
        chart["elements"].append({"label": name, "points": points})


def _moment(number: Any) -> str:
    return dates.num2date(number).isoformat()


def _bar(axes: Any, chart: Chart) -> None:
    groups = [container for container in axes.containers if isinstance(container, BarContainer)]
    lies = any(getattr(group, "orientation", None) == "horizontal" for group in groups)
    _labels(axes, chart, swapped=lies)
    axis = axes.yaxis if lies else axes.xaxis
    named = {_rounded(tick): text.get_text() for tick, text in zip(axis.get_majorticklocs(), axis.get_majorticklabels())}
    for number, group in enumerate(groups):
        label = group.get_label()
        name = f"Group {number}" if label.startswith("_container") else label
        for bar in group:
            middle = bar.get_y() + bar.get_height() / 2 if lies else bar.get_x() + bar.get_width() / 2
            chart["elements"].append(
                {
                    "label": _nearest(named, middle, (bar.get_height() if lies else bar.get_width()) * len(groups)),
                    "group": name,
                    "value": plain(bar.get_width() if lies else bar.get_height()),
                }
            )


def _nearest(named: Dict[float, str], at: float, within: float) -> str:
    """The text of the tick below a bar; the place itself where no tick is near."""
    tick = min(named, key=lambda tick: abs(tick - at), default=None)
    if tick is None or abs(tick - at) > max(within, 1e-9):
        return str(_rounded(at))
    return named[tick]


def _pie(axes: Any, chart: Chart) -> None:
    for wedge in axes.patches:
        angle = abs(wedge.theta2 - wedge.theta1)
        chart["elements"].append({"label": wedge.get_label(), "angle": _rounded(angle), "radius": _rounded(wedge.r)})


class _Box:
    """A box along the axis of values (`low` to `high`), with its width on the other (`left` to `right`)."""

    def __init__(self, xs: Any, ys: Any, lies: bool) -> None:
        across, along = (ys, xs) if lies else (xs, ys)
        self.left, self.right = min(across), max(across)
        self.low, self.high = min(along), max(along)
        self.minimum, self.maximum, self.median = self.low, self.high, None
        self.outliers: List[float] = []

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def _boxes(axes: Any) -> List[Any]:
    """Corners of boxes: closed lines of five points, or patches where they are filled."""
    found = [(line.get_xdata(), line.get_ydata()) for line in axes.get_lines() if len(line.get_xdata()) == 5]
    closed = [(xs, ys) for xs, ys in found if xs[0] == xs[-1] and ys[0] == ys[-1] and len(set(xs)) == 2]
    patches = [patch.get_path().vertices for patch in axes.patches if isinstance(patch, PathPatch)]
    return closed + [(corners[:, 0], corners[:, 1]) for corners in patches]


def _box(axes: Any, chart: Chart) -> None:
    corners = _boxes(axes)
    others = [line for line in axes.get_lines() if len(line.get_xdata()) != 5]
    lies = _lie(corners)
    boxes = [_Box(xs, ys, lies) for xs, ys in corners]
    for line in others:
        across, along = (line.get_ydata(), line.get_xdata()) if lies else (line.get_xdata(), line.get_ydata())
        if len(along):
            _add_line(boxes, across, along, is_points=line.get_linestyle() in ("None", ""))
    _labels(axes, chart, swapped=lies)
    axis = axes.yaxis if lies else axes.xaxis
    named = {_rounded(tick): text.get_text() for tick, text in zip(axis.get_majorticklocs(), axis.get_majorticklabels())}
    for box in boxes:
        chart["elements"].append(
            {
                "label": _nearest(named, box.middle, box.right - box.left),
                "min": _rounded(box.minimum),
                "first_quartile": _rounded(box.low),
                "median": _rounded(box.median if box.median is not None else (box.low + box.high) / 2),
                "third_quartile": _rounded(box.high),
                "max": _rounded(box.maximum),
                "outliers": [_rounded(outlier) for outlier in box.outliers],
            }
        )


def _lie(corners: Any) -> bool:
    """Boxes of one plot are equally wide: they lie where their heights are all the same and their widths are not."""
    size: Callable[[Any], float] = lambda places: _rounded(max(places) - min(places))
    widths, heights = {size(xs) for xs, _ in corners}, {size(ys) for _, ys in corners}
    if len(corners) == 1:
        xs, ys = corners[0]
        return _rounded(sum(ys[:4]) / 4) == 1 and _rounded(sum(xs[:4]) / 4) != 1
    return len(heights) == 1 and len(widths) > 1


def _add_line(boxes: List[_Box], across: Any, along: Any, is_points: bool) -> None:
    """A line of a box plot: outliers, a median across a box, a whisker that begins at its edge, or a cap at its end."""
    centre = (min(across) + max(across)) / 2
    box = next((one for one in boxes if one.left <= centre <= one.right), None)
    if box is None:
        return
    low, high = min(along), max(along)
    if is_points:
        box.outliers.extend(along)
    elif low == high and box.low <= low <= box.high and max(across) > min(across):
        box.median = low if box.median is None or _wider(across, box) else box.median
    elif low != high:
        box.minimum, box.maximum = min(box.minimum, low), max(box.maximum, high)


def _wider(across: Any, box: _Box) -> bool:
    return _rounded(max(across) - min(across)) >= _rounded(box.right - box.left)
