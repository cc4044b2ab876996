"""What the Python kernel has beside IPython's own: data of charts and tables next to their pictures."""
from typing import Any

from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode


class ChartFormatter(BaseFormatter):
    """Knows figures by their class's name: what is registered for them is taken away when a backend is chosen."""

    format_type = Unicode("e2b/chart")
    print_method = ObjectName("_repr_e2b_chart_")
    _return_type = dict

    def lookup(self, obj: Any) -> Any:
        if any((kind.__module__, kind.__name__) == ("matplotlib.figure", "Figure") for kind in type(obj).__mro__):
            return _chart
        raise KeyError(type(obj))


class DataFormatter(BaseFormatter):
    format_type = Unicode("e2b/data")
    print_method = ObjectName("_repr_e2b_data_")
    _return_type = dict


def _chart(figure: Any) -> Any:
    """A picture whose data cannot be read stays a picture."""
    from .charts import chart_of

    try:
        return chart_of(figure)
    except Exception:
        return None


def _columns(frame: Any) -> Any:
    """A table by its columns, in what JSON can say: moments as ISO 8601, what is missing as null."""
    from .values import plain

    return {str(name): [plain(value) for value in frame[name]] for name in frame.columns}


def load_ipython_extension(shell: Any) -> None:
    """Types are named and not imported: nobody waits for a library that is not used."""
    display = shell.display_formatter
    data = DataFormatter(parent=display)
    data.for_type_by_name("pandas.core.frame", "DataFrame", _columns)
    display.formatters["e2b/data"] = data
    display.formatters["e2b/chart"] = ChartFormatter(parent=display)
