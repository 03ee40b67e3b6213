"""DiT: a transformer that is given the class of an image (Peebles and Xie 2023)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.families.family import chosen
from ganatomy.models.generators.diffusers.families.transformer import Transformer
from ganatomy.models.generators.diffusers.families.unet import class_prompts


class DiT(Transformer):
    """A transformer whose prompts are classes, by number or by the names in ``model_index.json``.

    Guidance leads away from the class after the last, which stands for none.
    """

    has_variance = True
    is_doubled = False

    def conditions(self) -> Conditions:
        """Return the classes that prompts name, or each in turn."""
        if self.options.negative is not None:
            raise BadValue("negative= is for pipelines that read prompts; leave it out")
        guidance, count = self._guidance(), int(self.config["num_embeds_ada_norm"])
        names = self._numbers()
        numbers = class_prompts([names.get(each, each) for each in self.options.prompts], count)
        given = {"classes": torch.arange(count + 1)}
        without = chosen(given, count if guidance > 1 else None)
        rows = torch.tensor([int(each) for each in numbers])
        return Conditions(tuple(self.options.prompts) or numbers, rows, given, without, guidance, ("classes", count))

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts; see `Family`."""
        times = time.to(x.device).expand(len(x))
        predicted: Tensor = network(x, timestep=times, class_labels=given["classes"], return_dict=False)[0]
        return predicted[:, : self.channels]

    def _numbers(self) -> dict[str, str]:
        """Return the number of the class of each name."""
        known = self.index.settings.get("id2label")
        items = known.items() if isinstance(known, Mapping) else ()
        return {name.strip(): str(number) for number, names in items for name in str(names).split(",")}
