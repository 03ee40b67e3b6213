"""What is sent to other processes arrives whole: errors, models, and work that finds nothing of this machine's disk."""

import pickle

import pytest
from mistakes import mistake

from ganatomy.core.errors import BadFile, GanatomyError, UnknownName
from ganatomy.experiments.model_pair import ModelPair


@pytest.mark.parametrize("error", [BadFile("x.pth: cut off"), UnknownName("layer", "conv", ["conv1", "conv2"])])
def test_an_error_arrives_with_its_line_and_its_notes(error: GanatomyError) -> None:
    error.add_note("write me")
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_names_arrive_as_one_instance_step_after_step() -> None:
    models = ModelPair("planted:", "planted", "cpu")
    first, second = (pickle.loads(pickle.dumps(models)) for _ in range(2))  # noqa: S301
    assert first is second
    assert first.segmenter is second.segmenter
    assert pickle.loads(pickle.dumps(ModelPair("planted:", "colors", "cpu"))) is not first  # noqa: S301


def test_another_model_of_the_same_name_is_refused() -> None:
    for known in ((None, "0" * 64), ("0" * 64, None)):
        there = pickle.loads(pickle.dumps(ModelPair("planted:", "planted", "cpu", known)))  # noqa: S301
        with mistake("bad-file", "planted", "another model"):
            _ = there.segmenter, there.subject
