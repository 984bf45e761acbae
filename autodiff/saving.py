"""Checkpoints: models, optimizers, arrays and random generators in one safetensors file.

    save("run.safetensors", model=model, optimizer=optimizer, rng=rng, epoch=3)
    epoch = load("run.safetensors", model=model, optimizer=optimizer, rng=rng)["epoch"]

A file is written beside its name and then takes its place, so a crash leaves the old one or the new one, whole. Nothing
in it is code: reading one from elsewhere is safe. The format is that of Hugging Face, and weights that PyTorch has
saved can be loaded into the same layers.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .value import Value

__all__ = ["load", "save"]

KEY = "autodiff"  # in the metadata: what is no array, as JSON
DEEP = 200
KINDS = {"PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"}


# -- saving


def save(path: str | os.PathLike[str], /, **parts: Any) -> None:
    """Write `parts` to one file: what has a `state_dict`, arrays and Values, generators, and what JSON has.

    Parts may be dicts and lists of these; tuples come back as lists, and NumPy's numbers as arrays without dimensions.
    The file is whole or not there, whatever happens meanwhile.

    >>> import tempfile
    >>> from autodiff import nn
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> save(path, model=nn.Linear(2, 1, rng=0), epoch=3)
    >>> load(path, model=nn.Linear(2, 1))
    {'epoch': 3}

    Raises TypeError or ValueError naming a part that cannot be saved, ImportError without safetensors.
    """
    arrays: dict[str, Any] = {}  # by names that are free: "a.b" may be a part, and b in the part a
    layout = {name: _opened(name, part, arrays) for name, part in parts.items()}
    content = _library("save").numpy.save(arrays, {KEY: json.dumps(layout)})
    _write(Path(path), content)


def _opened(name: str, part: Any, arrays: dict[str, Any]) -> Any:
    """What stands for a part in the JSON; its arrays go to `arrays`."""
    if name == "__metadata__":
        raise ValueError("save: a part is named __metadata__, which is a name of the format's own")
    if name.count(".") > DEEP:
        raise ValueError(f"save: {name[:40]}... is more than {DEEP} deep; what holds itself cannot be saved")
    if hasattr(part, "state_dict"):
        return {"state": {key: _opened(f"{name}.{key}", x, arrays) for key, x in part.state_dict().items()}}
    if isinstance(part, np.random.Generator):
        return {"generator": _plain(part.bit_generator.state)}
    if isinstance(part, Value):
        part = part.data
    if isinstance(part, np.ma.MaskedArray):
        raise TypeError(f"save: {name} is a masked array, whose mask would be lost; pass {name}.data and {name}.mask")
    if isinstance(part, (np.ndarray, np.generic)):
        array = np.asarray(part)
        if array.dtype.kind not in "biufc" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
            raise TypeError(f"save: {name} is an array of {array.dtype}; numbers and truth values can be saved")
        if array.dtype.kind == "c":  # as pairs of real numbers
            real = np.ascontiguousarray(array).reshape(array.shape + (1,)).view(array.real.dtype)
            return {"complex": _kept(name, real, arrays)}
        return {"array": _kept(name, np.ascontiguousarray(array).reshape(array.shape), arrays)}
    if isinstance(part, dict):
        wrong = [key for key in part if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"save: {name} has a key {wrong[0]!r}; keys have to be texts")
        return {"dict": {key: _opened(f"{name}.{key}", x, arrays) for key, x in part.items()}}
    if isinstance(part, (list, tuple)):
        return {"list": [_opened(f"{name}.{i}", x, arrays) for i, x in enumerate(part)]}
    if part is None or isinstance(part, (bool, int, float, str)):
        return {"plain": part}
    raise TypeError(
        f"save: {name} is a {type(part).__name__}; models, optimizers, arrays, generators, numbers, texts, dicts and "
        "lists can be saved"
    )


def _kept(name: str, array: Any, arrays: dict[str, Any]) -> str:
    """Put an array among the others, under its name or, if that is taken, under one that the JSON tells."""
    while name in arrays:
        name += "'"
    arrays[name] = array
    return name


def _plain(state: Any) -> Any:
    """The state of a generator, as JSON can have it."""
    if isinstance(state, dict):
        return {key: _plain(x) for key, x in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state


def _write(path: Path, content: bytes) -> None:
    """Beside its name first, and on the disk before it gets it."""
    path = Path(os.path.realpath(path))  # a link stays one
    if path.is_dir():
        raise IsADirectoryError(f"save: {path} is a folder; pass the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {path.parent}")
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            with contextlib.suppress(OSError):
                os.chmod(temporary, path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):  # without which the name itself may be lost
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(folder)
        finally:
            os.close(folder)


# -- loading


def load(path: str | os.PathLike[str], /, **parts: Any) -> dict[str, Any]:
    """Read a file: into `parts`, objects with `load_state_dict` or generators, and return what else is in it.

    If something does not fit, no part is changed. A file of PyTorch's, or any other that is just named arrays, is the
    state of the one part that is given, or returned as a dict of arrays if none is.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/arrays.safetensors"
    >>> save(path, w=np.ones(2), names=["a", "b"])
    >>> load(path)
    {'w': array([1., 1.]), 'names': ['a', 'b']}

    Raises FileNotFoundError, IsADirectoryError, ValueError for a file that is damaged or does not fit, naming the
    array, and ImportError without safetensors.
    """
    arrays, metadata = _read(Path(path))
    if KEY not in metadata:
        return _foreign(path, arrays, metadata, parts)
    try:
        layout = json.loads(metadata[KEY])
        found = {name: _closed(part, arrays) for name, part in layout.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"load: {path} is damaged: its description does not fit its arrays ({error})") from error
    missing = [name for name in parts if name not in found]
    if missing:
        raise ValueError(f"load: {path} has no {missing[0]!r}; it has {', '.join(found)}")
    with _all_or_none(parts):
        for name, part in parts.items():
            _put(path, name, part, found.pop(name))
    return {name: _revived(part) for name, part in found.items()}


class _State(dict[str, Any]):
    """Of an object."""


class _Generator(dict[str, Any]):
    """The state of one."""


def _closed(part: Any, arrays: Mapping[str, Any]) -> Any:
    ((kind, x),) = part.items()
    if kind == "state":
        return _State({key: _closed(y, arrays) for key, y in x.items()})
    if kind == "generator":
        return _Generator(x)
    if kind == "complex":
        real = arrays[x]
        return real.view(np.result_type(real.dtype, np.complex64)).reshape(real.shape[:-1])
    if kind == "array":
        return arrays[x]
    if kind == "dict":
        return {key: _closed(y, arrays) for key, y in x.items()}
    if kind == "list":
        return [_closed(y, arrays) for y in x]
    if kind == "plain":
        return x
    raise ValueError(f"it knows something named {kind!r}")


def _put(path: Any, name: str, part: Any, found: Any) -> None:
    if isinstance(part, np.random.Generator):
        _set_generator(path, name, part, found)
    elif hasattr(part, "load_state_dict"):
        if not isinstance(found, dict) or isinstance(found, _Generator):
            raise ValueError(f"load: {name!r} in {path} is no state of a {type(part).__name__}")
        try:
            part.load_state_dict(found)
        except ValueError as error:
            raise ValueError(f"load: {path} does not fit {name}: {error}") from error
    else:
        raise TypeError(
            f"load: {name} is a {type(part).__name__}; pass models, optimizers and generators, and take arrays from "
            "what load returns"
        )


def _set_generator(path: Any, name: str, generator: np.random.Generator, found: Any) -> None:
    own = type(generator.bit_generator).__name__
    if not isinstance(found, _Generator) or found.get("bit_generator") != own:
        kind = found.get("bit_generator") if isinstance(found, _Generator) else type(found).__name__
        raise ValueError(f"load: {name!r} in {path} is of a {kind}, and the generator is a {own}")
    try:
        generator.bit_generator.state = found
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"load: the generator {name!r} in {path} is damaged") from error


def _revived(part: Any) -> Any:
    """A part that nobody asked for: a generator as a new one, a state as a dict."""
    if isinstance(part, _Generator):
        kind = part.get("bit_generator")
        if kind not in KINDS:
            raise ValueError(f"load: the file has a generator of kind {kind!r}, which is not NumPy's")
        generator = np.random.Generator(getattr(np.random, str(kind))())
        try:
            generator.bit_generator.state = part
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ValueError(f"load: the state of a {kind} in the file is damaged") from error
        return generator
    return {**part} if isinstance(part, _State) else part


@contextlib.contextmanager
def _all_or_none(parts: Mapping[str, Any]) -> Iterator[None]:
    """Put everything back if one part fails."""
    before = {
        name: part.bit_generator.state if isinstance(part, np.random.Generator) else part.state_dict()
        for name, part in parts.items()
        if isinstance(part, np.random.Generator) or hasattr(part, "state_dict")
    }
    try:
        yield
    except BaseException:
        for name, state in before.items():
            part = parts[name]
            if isinstance(part, np.random.Generator):
                part.bit_generator.state = state
            else:
                part.load_state_dict(state)
        raise


# -- files


def _foreign(path: Any, arrays: dict[str, Any], metadata: Mapping[str, str], parts: Mapping[str, Any]) -> Any:
    """A file that is just named arrays."""
    if not parts:
        return arrays
    if len(parts) > 1:
        raise ValueError(f"load: {path} is just named arrays, the state of one part; {len(parts)} were given")
    ((name, part),) = parts.items()
    if hasattr(part, "_from_torch"):
        is_torch = metadata.get("format") == "pt" or part._is_from_torch(arrays)
        if is_torch is None:
            raise ValueError(
                f"load: {path} does not say whether its matrices, all square, are PyTorch's, which are the other way "
                f'round; save it there with metadata={{"format": "pt"}}, or pass load({str(path)!r}) to '
                f"{name}.load_state_dict if they are not"
            )
        arrays = part._from_torch(arrays) if is_torch else arrays
    with _all_or_none(parts):
        _put(path, name, part, arrays)
    return {}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    library = _library("load")
    if path.is_dir():
        raise IsADirectoryError(f"load: {path} is a folder; pass the name of a file")
    if not path.is_file():
        raise FileNotFoundError(f"load: there is no file {path}")
    content = path.read_bytes()  # once: another process may put a new file there
    try:
        arrays = {name: _array(name, tensor) for name, tensor in library.deserialize(content)}
    except library.SafetensorError as error:
        raise ValueError(f"load: {path} is damaged, or no safetensors file: {error}") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # checked by deserialize
    return arrays, header.get("__metadata__") or {}


DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BOOL": "?", "C64": "c8",
    "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1",
}  # fmt: skip


def _array(name: str, tensor: Mapping[str, Any]) -> Any:
    """One array, of its own memory. bfloat16 becomes float32, which holds it exactly."""
    kind, data, shape = tensor["dtype"], tensor["data"], tensor["shape"]
    if kind == "BF16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32).reshape(shape)
    if kind not in DTYPES:
        raise ValueError(f"load: {name} has dtype {kind}, which NumPy does not have")
    dtype = np.dtype(DTYPES[kind])
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape).astype(dtype)


def _library(function: str) -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f'{function}: needs safetensors: pip install "autodiff[saving]"') from error
    return safetensors
