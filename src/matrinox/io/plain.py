"""Plain data: JSON taken strictly, and the numbers that JSON cannot spell."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

from matrinox.io.errors import ModelFileError, show

_MAX_DEPTH = 32
# Each becomes a Python object, which costs far more time and memory than its one byte of text.
_MAX_NODES = 2**18


def dump(value: Any) -> str:
    """JSON as every header of ours has it: no spaces, ASCII alone, no nan."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def parse(text: str, kind: Any, what: str) -> Any:
    """Strict JSON: no key twice, no nan or infinity, no deep nesting, and of the type that is due."""

    if text.count("{") + text.count("[") > _MAX_NODES:
        raise ModelFileError(f"{what} has more than {_MAX_NODES} tables and lists")

    def no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ModelFileError(f"{what} holds the key {show(repeated)} twice")
        return table

    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            raise ModelFileError(f"{what} holds the number {show(number)}, which is not finite")
        return float(number)

    try:
        value = json.loads(text, object_pairs_hook=no_key_twice, parse_constant=finite, parse_float=finite)
    except RecursionError:
        raise ModelFileError(f"{what} is nested too deeply") from None
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"{what} is not JSON: {error}") from None
    level = [value]
    for _ in range(_MAX_DEPTH):
        nodes = [
            list(node.values()) if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)
        ]
        level = list(chain.from_iterable(nodes))
    if level:
        raise ModelFileError(f"{what} is nested more than {_MAX_DEPTH} deep")
    if not isinstance(value, kind):
        raise ModelFileError(f"{what} is {show(value)}, not what the format has there")
    return value


def number_to_json(x: Any) -> Any:
    """A Python number as JSON, which has no infinity, no nan and no complex number."""
    if isinstance(x, complex):
        return [number_to_json(x.real), number_to_json(x.imag)]
    return repr(x) if isinstance(x, float) and not math.isfinite(x) else x


def number_from_json(kind: type, value: Any) -> Any:
    """The Python number of this type, or `None` where `value` is not what `number_to_json` gives for one."""
    if kind is complex:
        if not isinstance(value, list) or len(value) != 2:
            return None
        real, imaginary = (number_from_json(float, part) for part in value)
        return None if real is None or imaginary is None else complex(real, imaginary)
    if kind is float and value in ("inf", "-inf", "nan"):
        return float(value)
    return value if type(value) is kind else None
