"""Values of numpy, pandas and matplotlib as JSON can say them."""
import datetime
import math
from typing import Any


def plain(value: Any) -> Any:
    """Numbers, texts, truth and null as they are, moments as ISO 8601, everything else as its text."""
    if type(value).__name__ == "datetime64":
        value = value.astype("datetime64[us]").item()  # its own unit may be one that it turns into a number
    if hasattr(value, "item") and not hasattr(value, "isoformat"):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
        return None if text == "NaT" else text
    return str(value)
