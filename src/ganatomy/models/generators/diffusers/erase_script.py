"""Draw images with a pipeline of diffusers in which units are switched off: python erase.py PIPELINE "a prompt" out.png

Needs diffusers, and erase.json beside this file, which says what is switched off.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch


def switch_off(pipeline: Any, edit: Any) -> Any:
    """Switch the units off; return the callback by which the pipeline says that a step is done."""
    now = {"step": 1}
    if edit["scheduler"]:
        import diffusers

        pipeline.scheduler = getattr(diffusers, edit["scheduler"]).from_config(pipeline.scheduler.config)

    def zeroed(site: Any, _module: Any, _inputs: Any, output: Any) -> Any:
        if now["step"] not in site["steps"]:
            return None
        parts = list(output) if isinstance(output, tuple) else [output]
        place = [i for i, part in enumerate(parts) if isinstance(part, torch.Tensor)][site["position"]]
        x = parts[place] = parts[place].clone()
        half = len(x) // 2
        rows = {"all": slice(None), "cond": slice(half, None), "uncond": slice(half)}[edit["rows"]]
        units = torch.tensor(site["units"], device=x.device)
        if site["tokens"] is None:
            x[rows, units] = 0  # of a map [images, units, height, width]
        else:
            first, last = site["tokens"]
            x[rows, first:last][..., units] = 0  # of tokens [images, tokens, units]
        return tuple(parts) if isinstance(output, tuple) else x

    for site in edit["sites"]:
        module = getattr(pipeline, edit["network"]).get_submodule(site["module"])
        module.register_forward_hook(partial(zeroed, site))

    def after(_pipeline: Any, number: int, _time: Any, values: Any) -> Any:
        now["step"] = number + 2 if number + 1 < edit["steps"] else 1
        return values

    return after


if __name__ == "__main__":
    import diffusers

    edit = json.loads(Path(__file__).with_name("erase.json").read_text())
    load: Any = diffusers.DiffusionPipeline.from_pretrained
    pipeline = load(sys.argv[1])
    after = switch_off(pipeline, edit)
    pipeline(sys.argv[2], callback_on_step_end=after, **edit["call"]).images[0].save(sys.argv[3])
