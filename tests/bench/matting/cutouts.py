"""The subjects of photographs, cut along outlines traced by hand a little inside their edges.

The outline *is* the alpha, so it is exact; what it cuts out of the photograph is the foreground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from tests.bench.material import PHOTOGRAPHS
from tests.bench.matting.drawing import Canvas, Floats, Points
from tests.bench.matting.outlines import corners, smooth
from tests.bench.matting.strands import coat


@dataclass(frozen=True)
class Subject:
    """Of one photograph; outlines in fractions of its width and height."""

    file: str
    outlines: Sequence[Points]
    area: tuple[float, float, float, float]
    """Left, top, right, bottom of what is shown, in the same fractions: it becomes two units high."""
    fur: float = 0.0
    """Length of its hair, units."""


ASTRONAUT = Subject(
    "astronaut.jpg",
    [
        smooth(
            *((0.4, 0.05), (0.45, 0.04), (0.52, 0.045), (0.565, 0.09), (0.578, 0.17), (0.565, 0.23), (0.53, 0.255)),
            *((0.525, 0.3), (0.575, 0.37), (0.582, 0.44), (0.57, 0.475), (0.63, 0.475), (0.675, 0.53), (0.695, 0.6)),
            *((0.7, 0.68), (0.76, 0.685), (0.85, 0.705), (0.92, 0.76), (0.955, 0.85), (0.97, 0.9), (0.98, 1.1)),
            *((0.1, 1.1), (0.07, 0.95), (0.065, 0.85), (0.085, 0.72), (0.095, 0.6), (0.15, 0.535), (0.245, 0.475)),
            *((0.245, 0.39), (0.275, 0.33), (0.36, 0.3), (0.36, 0.26), (0.32, 0.22), (0.312, 0.15), (0.34, 0.085)),
        )
    ],
    (0.06, 0.03, 0.98, 1.0),
)
CUP = Subject(
    "coffee.jpg",
    [
        smooth(
            *((0.37, 0.075), (0.47, 0.052), (0.58, 0.065), (0.66, 0.14), (0.685, 0.21), (0.74, 0.29), (0.782, 0.42)),
            *((0.787, 0.55), (0.745, 0.72), (0.655, 0.855), (0.53, 0.93), (0.4, 0.935), (0.28, 0.86), (0.185, 0.73)),
            *((0.142, 0.56), (0.145, 0.41), (0.195, 0.28), (0.255, 0.22), (0.292, 0.19), (0.305, 0.13)),
        )
    ],
    (0.13, 0.03, 0.8, 0.96),
)
ROCKET = Subject(
    "rocket.jpg",
    [
        smooth(
            *((0.503, 0.308), (0.528, 0.335), (0.535, 0.36), (0.535, 0.42), (0.54, 0.7), (0.545, 0.94), (0.545, 0.955)),
            *((0.465, 0.955), (0.465, 0.94), (0.468, 0.7), (0.472, 0.42), (0.472, 0.36), (0.48, 0.335)),
        )
    ],
    (0.3, 0.29, 0.7, 0.97),
)
PHOTOGRAPHER = Subject(
    "photographer.jpg",
    [
        smooth(
            *((0.405, 0.135), (0.46, 0.15), (0.51, 0.2), (0.522, 0.255), (0.515, 0.275), (0.565, 0.278), (0.63, 0.28)),
            *((0.63, 0.3), (0.6, 0.335), (0.64, 0.345), (0.635, 0.39), (0.595, 0.42), (0.58, 0.45), (0.59, 0.53)),
            *((0.555, 0.59), (0.49, 0.59), (0.42, 0.57), (0.38, 0.65), (0.29, 0.72), (0.283, 0.8), (0.285, 1.1)),
            *(
                (-0.1, 1.1),
                (-0.1, 0.6),
                (0.02, 0.49),
                (0.085, 0.42),
                (0.12, 0.31),
                (0.21, 0.255),
                (0.3, 0.215),
                (0.325, 0.16),
            ),
        ),
        corners((0.567, 0.4), (0.583, 0.4), (0.582, 0.94), (0.568, 0.94)),
        corners((0.556, 0.63), (0.594, 0.63), (0.588, 0.67), (0.563, 0.67)),
        corners((0.558, 0.65), (0.57, 0.655), (0.492, 1.02), (0.472, 1.02)),
        corners((0.6, 0.652), (0.611, 0.647), (0.795, 1.02), (0.776, 1.02)),
    ],
    (0.0, 0.1, 0.8, 1.0),
)
CAT = Subject(
    "chelsea the cat.jpg",
    [
        smooth(
            *(
                (0.1, -0.1),
                (0.45, -0.1),
                (0.86, -0.1),
                (0.83, 0.06),
                (0.775, 0.2),
                (0.78, 0.4),
                (0.75, 0.6),
                (0.68, 0.78),
            ),
            *((0.6, 0.9), (0.5, 0.93), (0.4, 0.86), (0.27, 0.88), (0.16, 0.82), (0.1, 0.62), (0.08, 0.3)),
        )
    ],
    (0.05, 0.0, 0.9, 1.0),
    fur=0.1,
)


def draw(subject: Subject, canvas: Canvas) -> None:
    """The subject two units high, the top of its area at v = -1."""
    with Image.open(PHOTOGRAPHS[subject.file]) as opened:
        photo = ImageOps.exif_transpose(opened).convert("RGB")
    left, top, right, bottom = (f * s for f, s in zip(subject.area, photo.size * 2, strict=True))
    unit = 2 / (bottom - top)
    to_units = (unit * photo.width, unit * photo.height)
    middle = np.array(((left + right) / 2 * unit, (top + bottom) / 2 * unit))
    outlines = [outline * to_units - middle for outline in subject.outlines]
    box = canvas.around(outlines, 0.15 * canvas.scale)
    if box is None:
        return
    per_pixel = 1 / (unit * canvas.scale)
    corner = (np.array((box.left - canvas.x, box.top - canvas.y)) / canvas.scale + middle) / unit
    warp = (per_pixel, 0.0, float(corner[0]), 0.0, per_pixel, float(corner[1]))
    # What the affine sampling reads past the photograph's border is black: continue the border first.
    edge = 64
    framed = Image.fromarray(np.pad(np.asarray(photo), ((edge, edge), (edge, edge), (0, 0)), mode="edge"))
    warp = (warp[0], 0.0, warp[2] + edge, 0.0, warp[4], warp[5] + edge)
    large = framed.transform(box.size, Image.Transform.AFFINE, warp, Image.Resampling.BICUBIC)
    sharp = large.filter(ImageFilter.UnsharpMask(radius=max(1.0, 0.6 / per_pixel), percent=70, threshold=0))
    picture: Floats = np.asarray(sharp, np.float32)
    if subject.fur:
        coat(canvas, outlines[0], box, picture, 2600, subject.fur)

    def colour(u: Floats, v: Floats) -> Floats:
        first = round(float(u[0, 0]) * canvas.scale + canvas.x - box.left - 0.5)
        above = round(float(v[0, 0]) * canvas.scale + canvas.y - box.top - 0.5)
        return picture[above : above + v.shape[0], first : first + u.shape[1]]

    canvas.part(outlines, colour)
