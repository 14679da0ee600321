"""Reading of YAML files that people write: settings, catalogue profiles, mappings of inventories."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import yaml

from monitor.errors import RefusedError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file in UTF-8, with or without a byte order mark; None if it is empty.

    Raises:
        RefusedError: it cannot be read, is not UTF-8 or not YAML, has a key twice, or a key that YAML reads
            as true, false or nothing.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(
            f"{path} cannot be read: {error.strerror}; check the path and its rights"
        ) from error
    try:
        return yaml.load(_decoded(path, content), _Loader)
    except yaml.constructor.ConstructorError as error:
        raise RefusedError(f"{path} cannot be used: {error}") from error
    except yaml.YAMLError as error:
        raise RefusedError(f"{path} is not YAML: {error}") from error
    except RecursionError as error:
        raise RefusedError(f"{path} is not usable: its values are nested too deeply") from error


def _decoded(path: Path, content: bytes) -> str:
    if content.startswith(_UTF16):
        raise RefusedError(f"{path} is UTF-16 and not UTF-8: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RefusedError(
            f"{path} is not UTF-8 (byte 0x{content[error.start]:02x} in line {line}): save it as UTF-8"
        ) from error


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses keys of a mapping which would be lost or changed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = self.construct_object(key_node)
            if key is None or isinstance(key, bool):
                problem = f'YAML reads the key {key_node.value} as {key}: quote it, as "{key_node.value}"'
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                problem = f"the key {key_node.value!r} stands twice: remove one, or give it another name"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
