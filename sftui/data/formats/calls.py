"""Tool calls of an assistant message, in the form that chat templates expect."""

from __future__ import annotations

from typing import Any

from sftui.data.formats.values import parsed, refuse, unpacked

_EXPECTED = "a tool call, {name: .., arguments: ..}"


def read_calls(value: object, key: str, where: str) -> list[dict[str, Any]]:
    """One call or a list of them, as objects or as JSON text, each as {type, function: {name, arguments}}.

    `arguments` become an object if they are JSON text of one; other text is kept. Null is no call.
    Raises InputError, naming the place, for anything else.
    """
    value = unpacked(value, key, where, _EXPECTED)
    if value is None:
        return []
    if isinstance(value, list):
        return [_call(item, f"{key}[{index}]", where) for index, item in enumerate(value)]
    return [_call(value, key, where)]


def _call(value: object, key: str, where: str) -> dict[str, Any]:
    value = unpacked(value, key, where, _EXPECTED)
    if not isinstance(value, dict):
        refuse(value, key, where, _EXPECTED)
    function = value.get("function")
    if function is None:
        function = value
    elif not isinstance(function, dict):
        refuse(function, f"{key}.function", where, _EXPECTED)
    else:
        key = f"{key}.function"
    name = function.get("name")
    if not isinstance(name, str) or not name:
        refuse(name, f"{key}.name", where, "the name of a function")
    arguments = function.get("arguments")
    if isinstance(arguments, dict) and value.get("type") == "function" and value.get("id", "") is not None:
        return value
    if arguments is None:
        arguments = function.get("parameters")
    call: dict[str, Any] = {} if value.get("id") is None else {"id": value["id"]}
    call["type"] = "function"
    call["function"] = {"name": name, "arguments": _arguments(arguments, f"{key}.arguments", where)}
    return call


def _arguments(value: object, key: str, where: str) -> object:
    if isinstance(value, str) and value.strip():
        try:
            given = parsed(value)
        except ValueError:
            return value
        return given if isinstance(given, dict) else value
    if value is None or isinstance(value, str):
        return {}
    if not isinstance(value, dict):
        refuse(value, key, where, "an object, or JSON text of one")
    return value
