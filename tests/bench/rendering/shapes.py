"""Meshes, tubes, sheets and strands; each becomes an object of the collection that is being filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, copysign, cos, hypot, pi, sin
from random import Random
from typing import Any

import bmesh
import bpy
import numpy as np

Point = tuple[float, float, float]
Flat = tuple[float, float]
ORIGIN = (0.0, 0.0, 0.0)


def put(data: Any, material: Any, at: Point = ORIGIN, turn: Point = ORIGIN, stretch: Point = (1, 1, 1)) -> Any:
    thing = bpy.data.objects.new("thing", data)
    thing.location, thing.rotation_euler, thing.scale = at, turn, stretch
    if material is not None:
        data.materials.append(material)
    bpy.context.collection.objects.link(thing)
    return thing


def solid(
    points: Sequence[Point], faces: Sequence[Sequence[int]], material: Any, sharp: float = 0.7, **where: Any
) -> Any:
    """A mesh, smooth but for edges that turn by more than `sharp` radians; double points become one."""
    mesh = bpy.data.meshes.new("mesh")
    mesh.from_pydata(points, [], faces)
    return smooth(mesh, material, sharp, **where)


def smooth(mesh: Any, material: Any, sharp: float = 0.7, weld: bool = True, **where: Any) -> Any:
    if weld:
        work = bmesh.new()
        work.from_mesh(mesh)
        bmesh.ops.remove_doubles(work, verts=work.verts, dist=1e-6)
        bmesh.ops.recalc_face_normals(work, faces=work.faces)
        work.to_mesh(mesh)
        work.free()
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=sharp)
    return put(mesh, material, **where)


def rounded(points: Sequence[Flat], radius: float, steps: int = 6) -> list[Flat]:
    """An open line whose inner corners are rounded, as far as their sides are long enough."""
    found = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ends = []
        for other in (before, after):
            x, y = other[0] - corner[0], other[1] - corner[1]
            length = hypot(x, y)
            share = min(radius, 0.45 * length) / length if length else 0.0
            ends.append((corner[0] + x * share, corner[1] + y * share))
        for step in range(steps + 1):
            t = step / steps
            weights = ((1 - t) ** 2, 2 * t * (1 - t), t * t)
            three = (ends[0], corner, ends[1])
            found.append(
                (
                    sum(w * p[0] for w, p in zip(weights, three, strict=True)),
                    sum(w * p[1] for w, p in zip(weights, three, strict=True)),
                )
            )
    return [*found, points[-1]]


def turned(
    profile: Sequence[Flat],
    material: Any,
    radius: float = 0.0,
    sides: int = 96,
    span: Flat = (0, 2 * pi),
    squash: float = 1.0,
    **where: Any,
) -> Any:
    """A profile of (distance from the axis, height), turned about it; U goes round, V up."""
    line = rounded(profile, radius) if radius else list(profile)
    count = len(line)
    low, high = min(z for _, z in line), max(z for _, z in line)
    points, spots, faces = [], [], []
    for side in range(sides + 1):
        angle = span[0] + (span[1] - span[0]) * side / sides
        for r, z in line:
            points.append((r * cos(angle), squash * r * sin(angle), z))
            spots.append((side / sides, (z - low) / (high - low or 1)))
    for side in range(sides):
        for i in range(count - 1):
            first, second = side * count + i, (side + 1) * count + i
            faces.append((first, second, second + 1, first + 1))
    mesh = bpy.data.meshes.new("turned")
    mesh.from_pydata(points, [], faces)
    layer = mesh.uv_layers.new(name="UV")
    for loop in mesh.loops:
        layer.data[loop.index].uv = spots[loop.vertex_index]
    return smooth(mesh, material, **where)


def brick(size: Point, material: Any, bevel: float = 0.01, **where: Any) -> Any:
    """A block, its middle at `at`."""
    mesh = bpy.data.meshes.new("brick")
    work = bmesh.new()
    bmesh.ops.create_cube(work, size=1.0)
    bmesh.ops.scale(work, vec=size, verts=work.verts)
    if bevel:
        bmesh.ops.bevel(work, geom=work.edges[:], offset=bevel, segments=4, profile=0.5, affect="EDGES")
    work.to_mesh(mesh)
    work.free()
    return smooth(mesh, material, 0.5, weld=False, **where)


def ball(radius: float, material: Any, **where: Any) -> Any:
    mesh = bpy.data.meshes.new("ball")
    work = bmesh.new()
    bmesh.ops.create_uvsphere(work, u_segments=64, v_segments=32, radius=radius)
    work.to_mesh(mesh)
    work.free()
    return smooth(mesh, material, 3.2, weld=False, **where)


def rod(length: float, radius: float, material: Any, tip: float | None = None, bevel: float = 0.0, **where: Any) -> Any:
    """A cylinder or a cone's stump from z = 0 up."""
    top = radius if tip is None else tip
    return turned([(0, 0), (radius, 0), (top, length), (0, length)], material, bevel, 64, **where)


def tube(
    points: Sequence[Point],
    radius: float,
    material: Any,
    closed: bool = False,
    widths: Sequence[float] = (),
    round_: bool = True,
    **where: Any,
) -> Any:
    """Round stuff along a line; `widths` are factors of the radius at its points."""
    curve = bpy.data.curves.new("tube", "CURVE")
    curve.dimensions, curve.bevel_depth, curve.bevel_resolution = "3D", radius, 5
    curve.use_fill_caps, curve.resolution_u = True, 6
    line = curve.splines.new("NURBS" if round_ else "POLY")
    line.points.add(len(points) - 1)
    for i, point in enumerate(points):
        line.points[i].co = (*point, 1)
        line.points[i].radius = widths[i] if widths else 1
    line.use_cyclic_u = closed
    if round_:
        line.order_u, line.use_endpoint_u = min(4, len(points)), not closed
    return put(curve, material, **where)


def circle(radius: float, count: int = 48, at: Point = ORIGIN, plane: str = "xy", oval: float = 1.0) -> list[Point]:
    """Points of a closed ring; its second axis `oval` times as long."""
    x, y, z = at
    found: list[Point] = []
    for i in range(count):
        u, v = radius * cos(2 * pi * i / count), oval * radius * sin(2 * pi * i / count)
        found.append({"xy": (x + u, y + v, z), "xz": (x + u, y, z + v), "yz": (x, y + u, z + v)}[plane])
    return found


def hoop(radius: float, thick: float, material: Any, oval: float = 1.0, plane: str = "xy", **where: Any) -> Any:
    return tube(circle(radius, 64, plane=plane, oval=oval), thick, material, closed=True, **where)


def plate(
    outline: Sequence[Flat],
    thick: float,
    material: Any,
    holes: Sequence[Sequence[Flat]] = (),
    bevel: float = 0.005,
    **where: Any,
) -> Any:
    """A flat piece in the plane of x and y, its middle at z = 0."""
    curve = bpy.data.curves.new("plate", "CURVE")
    curve.dimensions, curve.fill_mode = "2D", "BOTH"
    curve.extrude, curve.bevel_depth, curve.bevel_resolution = max(0.0, thick / 2 - bevel), bevel, 3
    for ring in (outline, *holes):
        line = curve.splines.new("POLY")
        line.points.add(len(ring) - 1)
        for i, (x, y) in enumerate(ring):
            line.points[i].co = (x, y, 0, 1)
        line.use_cyclic_u = True
    return put(curve, material, **where)


def oblong(width: float, height: float, corner: float, steps: int = 10) -> list[Flat]:
    """A rectangle with round corners about the origin."""
    found = []
    for x, y, start in ((1, 1, 0.0), (-1, 1, pi / 2), (-1, -1, pi), (1, -1, 1.5 * pi)):
        for step in range(steps + 1):
            angle = start + pi / 2 * step / steps
            found.append(
                (x * (width / 2 - corner) + corner * cos(angle), y * (height / 2 - corner) + corner * sin(angle))
            )
    return found


def skin(
    rings: Sequence[Sequence[Point]], material: Any, capped: bool = True, closed: bool = False, **where: Any
) -> Any:
    """The hull through rings of equally many points; `closed` joins the last ring to the first."""
    sides = len(rings[0])
    points = [point for ring in rings for point in ring]
    faces: list[tuple[int, ...]] = []
    pairs = len(rings) if closed else len(rings) - 1
    for i in range(pairs):
        for j in range(sides):
            a, b = i * sides, (i + 1) % len(rings) * sides
            k = (j + 1) % sides
            faces.append((a + j, a + k, b + k, b + j))
    if capped and not closed:
        faces += [tuple(range(sides))[::-1], tuple((len(rings) - 1) * sides + j for j in range(sides))]
    return solid(points, faces, material, **where)


def power(angle: float, exponent: float) -> Flat:
    """A point of a superellipse: exponent 1 is a circle, towards 0 a square."""
    return tuple(copysign(abs(f) ** exponent, f) for f in (cos(angle), sin(angle)))  # type: ignore[return-value]


def pillow(size: Point, material: Any, edge: float = 0.5, top: float = 0.7, count: int = 72, **where: Any) -> Any:
    """A cushion-like body of half-lengths `size` about its middle."""
    rings = []
    for i in range(count // 2 + 1):
        across, up = power(-pi / 2 + pi * i / (count // 2), top)
        corners = (power(2 * pi * j / count, edge) for j in range(count))
        rings.append([(size[0] * across * x, size[1] * across * y, size[2] * up) for x, y in corners])
    return skin(rings, material, capped=False, sharp=3.2, **where)


def sheet(
    width: float,
    depth: float,
    material: Any,
    form: Callable[[float, float], Point],
    cells: int = 90,
    thick: float = 0.0,
    **where: Any,
) -> Any:
    """A surface: `form` says where (u, v), each -1…1, lies when it is told the flat place."""
    columns, rows = cells, max(2, ceil(cells * depth / width))
    points, faces, spots = [], [], []
    for row in range(rows + 1):
        for column in range(columns + 1):
            u, v = 2 * column / columns - 1, 2 * row / rows - 1
            points.append(form(u * width / 2, v * depth / 2))
            spots.append(((u + 1) / 2, (v + 1) / 2))
    for row in range(rows):
        for column in range(columns):
            a = row * (columns + 1) + column
            faces.append((a, a + 1, a + columns + 2, a + columns + 1))
    mesh = bpy.data.meshes.new("sheet")
    mesh.from_pydata(points, [], faces)
    layer = mesh.uv_layers.new(name="UV")
    for loop in mesh.loops:
        layer.data[loop.index].uv = spots[loop.vertex_index]
    thing = smooth(mesh, material, 3.2, weld=False, **where)
    if thick:
        thicken(thing, thick)
    return thing


def card(width: float, height: float, material: Any, **where: Any) -> Any:
    """A flat picture standing upright in the plane of x and z, its middle at `at`, its face to −y."""
    return sheet(width, height, material, lambda x, y: (x, 0.0, y), 2, **where)


def thicken(thing: Any, thick: float) -> Any:
    made = thing.modifiers.new("thick", "SOLIDIFY")
    made.thickness, made.offset = thick, 0
    return thing


def subdivide(thing: Any, levels: int = 2) -> Any:
    made = thing.modifiers.new("smooth", "SUBSURF")
    made.levels = made.render_levels = levels
    return thing


def curved(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """A smooth line through these points."""
    p = np.asarray([points[0], *points, points[-1]], float)
    found = []
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False):
        for step in range(steps):
            t = step / steps
            found.append(
                tuple(
                    ((1 + 2 * t) * b + t * (c - a) / 2) * (1 - t) ** 2
                    + t * t * ((3 - 2 * t) * c + (t - 1) * (d - b) / 2)
                )
            )
    return [*found, tuple(p[-1])]


def wave(dice: Random, size: float, height: float, count: int = 7) -> Callable[[float, float], float]:
    """A soft, random relief over a plane: bumps about `size` wide, up to about `height` high."""
    waves = [
        (dice.gauss(0, 2 / size), dice.gauss(0, 2 / size), dice.uniform(0, 2 * pi), dice.uniform(0.4, 1))
        for _ in range(count)
    ]
    total = sum(w[3] ** 2 for w in waves) ** 0.5
    return lambda x, y: height * sum(a * sin(p * x + q * y + f) for p, q, f, a in waves) / total
