"""Tool definitions of a row, in the form that chat templates expect."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sftui.data.formats.values import listed, refuse, unpacked
from sftui.errors import InputError

_EXPECTED = "a list of tool schemas"
_LONGEST_KEPT = 1 << 16  # characters of JSON whose parsed form is kept for the rows that follow

Tools = tuple[Mapping[str, Any], ...]


def read_tools(row: Mapping[str, Any], where: str) -> Tools | None:
    """The column `tools` of `row`, a list or JSON text, as {type: function, function: {..}}; None for none.

    Raises InputError, naming the place, for what is no tool.
    """
    value = row.get("tools")
    if not value:
        return None
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_KEPT:
            return _from_text(value)
        return _tools(unpacked(value, "tools", "", _EXPECTED))
    except InputError as error:
        raise InputError(error.problem, file=where, key=error.key, hint=error.hint) from error


@lru_cache(maxsize=32)
def _from_text(value: str) -> Tools | None:
    return _tools(unpacked(value, "tools", "", _EXPECTED))


def _tools(value: object) -> Tools | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        refuse(value, "tools", "", _EXPECTED)
    return tuple(_tool(item, f"tools[{index}]") for index, item in enumerate(value))


def _tool(value: object, key: str) -> Mapping[str, Any]:
    value = unpacked(value, key, "", "a tool schema")
    if not isinstance(value, dict):
        refuse(value, key, "", "a tool schema, {type: function, function: {name: ..}}")
    function = value.get("function")
    if function is None and "parameter_definitions" in value:  # Cohere's own form, which its templates read
        return value
    if function is None:
        function = {name: item for name, item in value.items() if name not in ("type", "function")}
        value = {"type": "function", "function": function}
    elif not isinstance(function, dict):
        refuse(function, f"{key}.function", "", "an object with the function's name and parameters")
    else:
        key = f"{key}.function"
        if value.get("type") is None:
            value = {**value, "type": "function"}
    name = function.get("name")
    if name is None:
        raise InputError(
            f"no name: found {listed(function)}", key=key, hint="expected a tool schema, {name: ..}"
        )
    if not isinstance(name, str):
        refuse(name, f"{key}.name", "", "the function's name")
    return value
