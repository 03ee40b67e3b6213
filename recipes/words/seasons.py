"""A small classifier of season and time of day, trained on rendered scenes, that says whether images obey a prompt."""

import torch
from gan.evaluation import UNSEEN
from torch import Tensor, nn
from torch.nn import functional

from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.generators.words import SEASONS, TIMES, WordNetwork, WordSampler
from ganatomy.scenes import render
from words.data import CATEGORY, SIZE, word_states

FIRST = UNSEEN + (1 << 20)
"""Id of the first scene that the classifier learns from; the words model never sees it."""


class SeasonClassifier(nn.Sequential):
    """Images [b, 3, 64, 64] in [-1, 1] to logits [b, 3 seasons, then 3 times of day]."""

    def __init__(self, width: int = 24) -> None:
        layers: list[nn.Module] = []
        before = 3
        for units in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(before, units, 3, 2, 1), nn.BatchNorm2d(units), nn.ReLU()]
            before = units
        super().__init__(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * before, 6))

    def named(self, images: Tensor) -> Tensor:
        """Return the likeliest season and time of day of each image, [b, 2]."""
        with torch.no_grad():
            return self(images).view(-1, 2, 3).argmax(2)


def train_classifier(scenes: int, epochs: int, seed: int) -> SeasonClassifier:
    """Train on rendered scenes, mirrored at random."""
    torch.manual_seed(seed)
    model = SeasonClassifier()
    images, truth = scenes_with_truth(range(FIRST, FIRST + scenes), seed)
    batches = [batch for _ in range(epochs) for batch in torch.randperm(scenes).split(64)]
    adam = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 4e-3, total_steps=len(batches))
    for i, chosen in enumerate(batches):
        batch = images[chosen].flip(3) if i % 2 else images[chosen]
        loss = functional.cross_entropy(model(batch).view(-1, 3), truth[chosen].flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return model.eval()


def scenes_with_truth(ids: range, seed: int) -> tuple[Tensor, Tensor]:
    """Return images [n, 3, 64, 64] in [-1, 1], and which season and time of day each has, [n, 2]."""
    scenes = render(CATEGORY, ids, SIZE, seed)
    states = torch.from_numpy(word_states(ids, scenes.labels, seed))
    return torch.from_numpy(scenes.images).float() / 127.5 - 1, states[:, :6].view(-1, 2, 3).argmax(2)


def seasons_obeyed(network: WordNetwork, images: int, seed: int, scenes: int, epochs: int = 6) -> dict[str, float]:
    """Return the share of images with the season and the time of day that their prompt says, and of both.

    Args:
        network: of the words model.
        images: drawn, as many of every season at every time of day.
        seed: of the rendered scenes and of the classifier.
        scenes, epochs: of the classifier's training.

    Returns:
        Shares of ``season``, ``time`` and ``both``; with ``rendered`` before the name, what the classifier says of
        as many rendered scenes, which is what it can tell at all.
    """
    classifier = train_classifier(scenes, epochs, seed)
    unseen, truth = scenes_with_truth(range(FIRST + scenes, FIRST + scenes + images), seed)
    prompts = [f"a {season} church by {time}" for season in SEASONS for time in TIMES]
    generator = SampledGenerator(WordSampler(network, prompts, SIZE))
    prompted = torch.tensor([[i // 3, i % 3] for i in range(9)])[torch.arange(images) % 9]
    drawn = torch.cat(
        [
            generator.observe(generator.latents(range(start, min(start + 90, images)), 0), ()).images
            for start in range(0, images, 90)
        ]
    )
    return shares_right(classifier, drawn, prompted) | {
        f"rendered {name}": share for name, share in shares_right(classifier, unseen, truth).items()
    }


def shares_right(classifier: SeasonClassifier, images: Tensor, truth: Tensor) -> dict[str, float]:
    """Return how often season, time of day and both are those of `truth` [n, 2]."""
    right = torch.cat([classifier.named(part) for part in images.split(256)]) == truth
    season, time = right.double().mean(0).tolist()
    return {"season": season, "time": time, "both": float(right.all(1).double().mean())}
