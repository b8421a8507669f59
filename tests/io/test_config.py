"""Configs: dataclass to plain data and back, each value checked against its annotation and its bounds."""

import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.io import ModelFileError
from matrinox.io.config import check_config, decode_config, encode_config


@dataclass(frozen=True)
class Block:
    heads: int = field(default=1, metadata={"min": 1, "max": 8})


@dataclass(frozen=True)
class Config:
    depth: int = 2
    width: int = field(default=4, metadata={"min": 2, "max": 10**6})
    rate: float = field(default=0.5, metadata={"max": 1.0})
    name: str = "é\n"
    flag: bool = False
    act: Literal["relu", "tanh", 3] = "relu"
    kernel: tuple[int, ...] = field(default=(3, 3), metadata={"max": 9})
    pair: tuple[int, str] = (1, "a")
    nothing: tuple[()] = ()
    classes: int | None = None
    mode: Optional[str] = None  # noqa: UP045
    mixed: int | str | None = 3
    block: Block = Block()
    blocks: tuple[Block, ...] = (Block(2), Block(3))
    tagged: Annotated[float, "unit"] = 1.0
    limit: float = math.inf
    derived: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.depth == 13:
            raise ValueError("depth 13 brings bad luck")


def data(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps(encode_config(Config()))) | changes


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(depth=10, rate=-0.25, flag=True, act="tanh", kernel=(), classes=7, mode="x", mixed="text"),
        Config(rate=1, act=3, pair=(2, ""), mixed=None, block=Block(8), blocks=(), tagged=-1e-300),
    ],
)
def test_a_config_makes_the_round_trip(config: Config) -> None:
    assert decode_config(Config, json.loads(json.dumps(encode_config(config))), largest=100) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 101}, r"`config.depth` \(=101\) must be at most 100, given the size of the arrays: declare field"),
        ({"depth": -101}, r"`config.depth` \(=-101\) must be at most 100"),
        ({"depth": 1.0}, "`config.depth` is 1.0, not an integer"),
        ({"depth": True}, "`config.depth` is True, not an integer"),
        ({"depth": 13}, "`config` is refused by Config: depth 13 brings bad luck"),
        ({"width": 1}, r"`config.width` \(=1\) must be at least 2"),
        ({"width": 10**6 + 1}, r"`config.width` \(=1000001\) must be at most 1000000"),
        ({"rate": 1.5}, r"`config.rate` \(=1.5\) must be at most 1.0"),
        ({"rate": "nan"}, r"`config.rate` \(=nan\) must be at most 1.0"),
        ({"rate": "0.5"}, "`config.rate` is '0.5', not a number"),
        ({"tagged": 10**3}, r"`config.tagged` \(=1000\) must be at most 100"),
        ({"name": None}, "`config.name` is None, not a string"),
        ({"flag": 1}, "`config.flag` is 1, not true or false"),
        ({"act": "rleu"}, "`config.act` is 'rleu', not one of 'relu', 'tanh', 3: did you mean 'relu'"),
        ({"act": 3.0}, "`config.act` is 3.0, not one of"),
        ({"kernel": 3}, "`config.kernel` is 3, not a list"),
        ({"kernel": [3, 10]}, r"`config.kernel\[1\]` \(=10\) must be at most 9"),
        ({"pair": [1]}, r"`config.pair` is \[1\]: it must have 2 elements"),
        ({"pair": ["a", 1]}, r"`config.pair\[0\]` is 'a', not an integer"),
        ({"nothing": [1]}, r"`config.nothing` is \[1\]: it must have 0 elements"),
        ({"classes": 1000}, r"`config.classes` \(=1000\) must be at most 100"),
        ({"classes": "7"}, "`config.classes` is '7', not an integer"),
        ({"mixed": 1.5}, "`config.mixed` is 1.5, not a string"),
        ({"block": {"heads": 9}}, r"`config.block.heads` \(=9\) must be at most 8"),
        ({"block": {"head": 1}}, "`config.block` has the unknown field 'head': did you mean 'heads'"),
        ({"blocks": [{"heads": 1}, {}]}, r"`config.blocks\[1\]` lacks the field 'heads' of Block"),
        ({"blocks": [3]}, r"`config.blocks\[0\]` is 3, not a table of the fields of Block"),
        ({"derived": 3}, "`config` has the unknown field 'derived'"),
        ({"dephts": 3}, "`config` has the unknown field 'dephts': did you mean 'depth'"),
    ],
)
def test_a_config_out_of_its_annotation_or_bounds_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        decode_config(Config, data(**changes), largest=100)


@pytest.mark.parametrize("value", [jnp.tanh, {"a": 1}, np.float32(1), np.int64(1), jnp.zeros(1), {1}, b"x", 1j])
def test_a_value_that_is_not_plain_is_refused_by_its_path(value: Any) -> None:
    with pytest.raises(ModelFileError, match=r"`config.pair\[1\]` is .*: a config holds bool, int, .* store a name"):
        encode_config(Config(pair=(1, value)))


def test_an_annotation_that_no_file_can_satisfy_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        activation: Any = None

    with pytest.raises(ModelFileError, match=r"`config.activation` is annotated typing.Any: a config holds"):
        decode_config(Odd, {"activation": None}, largest=100)


def test_a_config_that_can_change_is_refused() -> None:
    @dataclass
    class Loose:
        depth: int = 1

    with pytest.raises(ModelFileError, match=r"Loose must be a frozen dataclass .* write @dataclass\(frozen=True\)"):
        decode_config(Loose, {"depth": 1}, largest=100)


def test_an_annotation_that_does_not_resolve_is_refused() -> None:
    @dataclass(frozen=True)
    class Lost:
        depth: "Nowhere" = 1  # pyright: ignore

    with pytest.raises(ModelFileError, match="the annotations of Lost do not resolve: name 'Nowhere' is not defined"):
        decode_config(Lost, {"depth": 1}, largest=100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 2.5}, "`Config.depth` is 2.5, not an integer"),
        ({"width": 1}, r"`Config.width` \(=1\) must be at least 2: choose a larger number"),
        ({"rate": math.nan}, r"`Config.rate` \(=nan\) must be at most 1.0: choose a smaller number"),
        ({"act": "rleu"}, "`Config.act` is 'rleu', not one of 'relu', 'tanh', 3: did you mean 'relu'"),
        ({"kernel": [3]}, r"`Config.kernel` is \[3\]: a config holds .*, so write it as a tuple$"),
        ({"kernel": 3}, r"`Config.kernel` is 3, not a tuple: write `\(…,\)` around one value$"),
        ({"blocks": (Block(9),)}, r"`Config.blocks\[0\].heads` \(=9\) must be at most 8"),
    ],
)
def test_a_config_in_memory_is_held_to_the_same_rules(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_config(Config(**changes))


def test_a_config_in_memory_may_hold_any_integer_that_declares_no_maximum() -> None:
    check_config(Config(depth=10**12))
