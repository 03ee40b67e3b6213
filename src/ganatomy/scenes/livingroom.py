"""Living rooms."""

from ganatomy.scenes.canvas import Canvas


def draw(canvas: Canvas) -> None:
    """Draw a batch of living rooms."""
    canvas.paint("wall", canvas.rough * 0 - 1, canvas.image)
