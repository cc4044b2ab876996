"""Turns what a Jupyter kernel says into the events of E2B's protocol: one JSON object a line."""
import time
from typing import Any, Dict, Optional

Event = Dict[str, Any]

_FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "e2b/data": "data",
    "e2b/chart": "chart",
}


def event_of(message: Dict[str, Any], shows_results: bool) -> Optional[Event]:
    """
    The event for a message of the kernel's output channel, or None where it is not for the caller.

    `shows_results` is true of a kernel that shows the values of a cell where others answer the last one (R's).
    """
    kind, content = message["header"]["msg_type"], message["content"]
    if kind == "stream":
        return {"type": content["name"], "text": content["text"], "timestamp": time.time_ns()}
    if kind in ("display_data", "execute_result", "update_display_data"):
        return _result(content["data"], kind == "execute_result" or shows_results)
    if kind == "error":
        return error_event(content["ename"], content["evalue"], "\n".join(content["traceback"]))
    if kind == "execute_input":
        return {"type": "number_of_executions", "execution_count": content["execution_count"]}
    return None


def error_event(name: str, value: str, traceback: str) -> Event:
    return {"type": "error", "name": name, "value": value, "traceback": traceback}


def _result(bundle: Dict[str, Any], is_main_result: bool) -> Event:
    event: Event = {"type": "result", "is_main_result": is_main_result}
    extra = {}
    for mime, value in bundle.items():
        field = _FIELDS.get(mime)
        if field is None:
            extra[mime] = value
        else:
            event[field] = _unquoted(value) if field == "text" else value
    if extra:
        # E2B's SDK for Python reads `extra`, the one for JavaScript takes fields that it does not know.
        event.update(extra)
        event["extra"] = extra
    return event


def _unquoted(text: str) -> str:
    """A string that is a result is shown without the quotes of its literal."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text
