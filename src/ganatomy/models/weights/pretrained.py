"""Models of transformers from a config and tensors: nothing is downloaded or run, no weight is random."""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.files import require_regular_file
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.models.weights.hub import check_numbers, read_json, read_pretrained

IGNORED = {"auto_map", "attn_implementation", "experts_implementation", "kernel_config", "use_kernels", "fusion_config"}
"""Settings that name code to run, or how."""
PASSING = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
"""Settings that do not change what a model computes."""

TOKENIZERS: Mapping[str, tuple[str, ...]] = {"Bert": ("vocab.txt",), "T5": ()}
"""Files that do without ``tokenizer.json``, by how the class begins; others read pairs of letters, as CLIP's does."""

TIMES, MORE_TENSORS, MORE_NUMBERS = 8, 1000, 1 << 28
"""So many times what its file has, and more, a model may register while it is built: what is loaded or tied is
registered again, and heads may be missing.
"""

LARGEST_TEXT = 1 << 28
"""Bytes of a file of a tokenizer, at most; those of 250,000 pieces have a twentieth of that."""


def transformers() -> ModuleType:
    """Return the package."""
    try:
        import transformers
    except ImportError as error:
        raise BadValue("models of the Hugging Face hub need another package: pip install 'ganatomy[hf]'") from error
    return transformers


def read_config(directory: Path) -> dict[str, Any]:
    """Read a model's ``config.json``, without settings that name code, files or versions."""
    content = read_json(directory / "config.json")
    check_numbers(content, str(directory / "config.json"))
    if "quantization_config" in content:
        raise BadFile(f"{directory}: its weights are quantised; take those that are not")
    if not isinstance(content.get("model_type"), str):
        raise BadFile(f"{directory / 'config.json'}: names no model_type")
    cleaned: dict[str, Any] = _cleaned(content)
    return cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {k: _cleaned(v) for k, v in value.items() if k.removeprefix("_") not in IGNORED and k not in PASSING}
    if "use_pretrained_backbone" in kept:
        kept["use_pretrained_backbone"] = False  # which would be downloaded, then overwritten
    return kept


def build_config(directory: Path, settings: Mapping[str, Any]) -> Any:
    """Make the config object that transformers has for these settings."""
    with foreign_errors(f"reading {directory / 'config.json'}"), quiet():
        return transformers().CONFIG_MAPPING[settings["model_type"]].from_dict(dict(settings))


def load(kind: Any, config: Any, directory: Path) -> tuple[Any, list[str]]:
    """Build a model of that class, frozen and in float32, and fill it with the tensors of a directory.

    Returns:
        The model; and the names of its missing tensors, which now hold NaN: see `zero_missing`.

    Raises:
        BadFile: a tensor has another shape, or the config asks for far more of them than there are.
    """
    state = read_pretrained(directory)
    with foreign_errors(f"opening {directory}"), quiet(), _bounded(state, directory):
        model, found = kind.from_pretrained(
            None,
            config=config,
            state_dict=state,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            torch_dtype=torch.float32,
        )
    for name, given, expected in sorted(found["mismatched_keys"]):
        raise BadFile(f"{directory}: tensor {name} has shape {list(given)}, its config.json needs {list(expected)}")
    own = model.eval().requires_grad_(False).state_dict()
    missing = sorted(name for name in found["missing_keys"] if name in own and own[name].is_floating_point())
    for name in missing:
        own[name].fill_(torch.nan)
    return model, missing


@contextlib.contextmanager
def _bounded(state: Mapping[str, Tensor], directory: Path) -> Iterator[None]:
    """Refuse a model while it is built, once it is far larger than its file: it would take hours, or all memory."""
    tensors = TIMES * len(state) + MORE_TENSORS
    numbers = TIMES * sum(each.numel() for each in state.values()) + MORE_NUMBERS
    thread = threading.get_ident()

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers
        if parameter is None or threading.get_ident() != thread:  # the hook is one of all threads
            return
        tensors, numbers = tensors - 1, numbers - parameter.numel()
        if tensors < 0 or numbers < 0:
            raise BadFile(f"{directory}: its config.json asks for a far larger model than its {len(state)} tensors are")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def zero_missing(model: nn.Module, missing: list[str], source: Path, compute: Callable[[], Tensor]) -> None:
    """Set missing tensors, which hold NaN, to 0 if the output does not depend on them, as in some families."""
    if not missing:
        return
    if not bool(compute().isfinite().all()):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadFile(f"{source}: lacks tensor {missing[0]}{more}; are these weights of another task?")
    own = model.state_dict()
    for name in missing:
        own[name].zero_()


def load_tokenizer(directory: Path, kind: str = "CLIPTokenizerFast") -> Any:
    """Read the tokenizer of a directory, of that class of transformers.

    Raises:
        BadFile: its files are missing; that of T5 in another form than ``tokenizer.json`` needs a package of its own.
    """
    others = next((files for name, files in TOKENIZERS.items() if kind.startswith(name)), ("vocab.json", "merges.txt"))
    plain = bool(others) and all((directory / name).is_file() for name in others)
    if not plain and not (directory / "tokenizer.json").is_file():
        hint = f" or {' and '.join(others)}" if others else f", which save_pretrained of a {kind} writes"
        raise BadFile(f"{directory}: lacks its tokenizer, tokenizer.json{hint}")
    _check_sizes(directory)
    with foreign_errors(f"reading the tokenizer of {directory}"), quiet():
        return getattr(transformers(), kind).from_pretrained(str(directory), local_files_only=True)


def _check_sizes(directory: Path) -> None:
    """Refuse files of texts that are no tokenizer's: transformers reads them whole."""
    for path in (each for ending in ("*.json", "*.txt") for each in directory.glob(ending)):
        try:
            size = require_regular_file(path).st_size
        except OSError as error:
            raise BadFile(f"{path}: cannot be read ({error.strerror})") from error
        if size > LARGEST_TEXT:
            raise BadFile(f"{path}: {size} bytes; no tokenizer has more than {LARGEST_TEXT}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers, and preserve the process's random state."""
    logging = transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
