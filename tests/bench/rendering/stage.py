"""Where products are photographed: an empty scene, what they stand on, light and camera.

Products are scaled to be one unit large, and stand with their middle at the origin, on z = 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, pi, radians, sin
from random import Random
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from tests.bench.rendering.catalogue import Picture
from tests.bench.rendering.look import WOODS, Look
from tests.bench.rendering.materials import Stuff, linear, paint
from tests.bench.rendering.shapes import Point, brick, put, sheet, wave

SUBJECT, AROUND = "subject", "around"
FILM = 36.0


def empty() -> Any:
    """A scene with nothing in it but a dark world and two collections."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    for name in (SUBJECT, AROUND):
        scene.collection.children.link(bpy.data.collections.new(name))
    return scene


@contextmanager
def filling(name: str) -> Iterator[None]:
    """Shapes made meanwhile go into this collection."""
    layers = bpy.context.view_layer
    layers.active_layer_collection = layers.layer_collection.children[name]
    yield


def things(name: str) -> list[Any]:
    return list(bpy.data.collections[name].all_objects)


def cloud(limit: int = 60_000) -> np.ndarray:
    """Points of the subject's surface, N×3."""
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for thing in things(SUBJECT):
        if thing.type == "CURVES":
            data = thing.data.attributes["position"].data
            values = np.empty(len(data) * 3, np.float32)
            data.foreach_get("vector", values)
        elif thing.type in ("MESH", "CURVE"):
            evaluated = thing.evaluated_get(graph)
            mesh = evaluated.to_mesh()
            values = np.empty(len(mesh.vertices) * 3, np.float32)
            mesh.vertices.foreach_get("co", values)
            evaluated.to_mesh_clear()
        else:
            continue
        frame = np.array(thing.matrix_world)
        found.append(values.reshape(-1, 3) @ frame[:3, :3].T + frame[:3, 3])
    points = np.concatenate(found)
    return points[:: max(1, len(points) // limit)]


def set_down() -> None:
    """Scale and move the subject to where it belongs."""
    bpy.context.view_layer.update()
    points = cloud()
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max())
    with filling(SUBJECT):
        holder = put(None, None)
    for thing in things(SUBJECT):
        if thing is not holder and thing.parent is None:
            thing.parent = holder
    middle = (low + high) / 2
    holder.scale = (1 / size,) * 3
    holder.location = (-middle[0] / size, -middle[1] / size, -low[2] / size)
    bpy.context.view_layer.update()


# What it stands on


def ground(stuff: Any, relief: Any = None, size: float = 30.0) -> Any:
    if relief is None:
        return sheet(size, size, stuff, lambda x, y: (x, y, 0.0), 2)
    return sheet(5, 5, stuff, lambda x, y: (x, y, relief(x, y)), 300)


def wall(stuff: Any, away: float, size: float = 30.0) -> Any:
    return sheet(size, size, stuff, lambda x, y: (x, away, y), 2)


def sweep(stuff: Any, back: float = 1.6, bend: float = 1.2) -> Any:
    """Paper that turns from floor to wall in an arc."""

    def form(x: float, y: float) -> Point:
        along = y + 4
        if along < 4 + back:
            return x, along - 4, 0.0
        turn = (along - 4 - back) / bend
        if turn < pi / 2:
            return x, back + bend * sin(turn), bend * (1 - cos(turn))
        return x, back + bend, bend + bend * (turn - pi / 2)

    return sheet(16, 20, stuff, form, 160)


def place(name: str, dice: Random, look: Look, kind: str) -> None:
    if name == "sweep":
        tone = {"white_on_white": "#f3f3f2", "black_on_black": "#151517"}.get(kind)
        sweep(
            paint(tone or dice.choice(("#f2f2f0", "#e4e3e0", "#c9cac9", "#ffffff", "#8c8f93")), 0.7), dice.uniform(1, 2)
        )
    elif name == "coloured":
        sweep(paint(dice.choice(("#e8c9bd", "#b9cfc4", "#d8d2b0", "#aebfd3", "#e2b8a0", "#98a88f", "#d9c6dd")), 0.75))
    elif name == "two_tone":
        one, other = dice.sample(("#e6d5c3", "#a9c1b4", "#d7a08a", "#8fa5b8", "#ece6da", "#c2b280"), 2)
        ground(paint(one, 0.6))
        wall(paint(other, 0.7), dice.uniform(1.2, 2.2))
    elif name == "room":
        room(dice)
    elif name == "linen":
        stuff = Stuff(dice.choice(("#d8cfbe", "#bfb6a8", "#e9e4d8", "#8e9aa0")), 0.95).woven(300, 0.003).made
        relief = wave(dice, 0.8, 0.02)
        ground(stuff, lambda x, y: relief(x, y) - 0.012 if x * x + y * y > 0.3 else min(0.0, relief(x, y) - 0.012))
    else:
        ground({"planks": planks, "marble": marble, "concrete": concrete, "tiles": tiles}[name](dice))
        wall(paint(dice.choice(("#d9d6cf", "#9aa3a0", "#c7b8a5", "#6d7478", "#e9e7e2")), 0.8), dice.uniform(2, 4))


def planks(dice: Random) -> Any:
    """Boards of three tones with dark seams, grain along them."""
    colours, turn = dice.choice(WOODS), dice.choice((0.0, pi / 2))
    stuff = Stuff(colours[0], dice.uniform(0.3, 0.6))
    wide = dice.uniform(0.25, 0.5)
    boards = stuff.node("TexBrick", {"offset": 0.37}, Scale=1, Mortar_Size=0.004, Brick_Width=8 * wide, Row_Height=wide)
    for name, colour in zip(("Color1", "Color2", "Mortar"), (colours[0], colours[2], "#2a1d12"), strict=True):
        boards.inputs[name].default_value = linear(colour)
    stuff.join(stuff.places(turn=turn), boards.inputs["Vector"])
    grain = stuff.node("MixRGB", {"blend_type": "MULTIPLY"}, Fac=0.7)
    stretch = (0.25, 4, 1) if turn == 0 else (4, 0.25, 1)
    stuff.join(boards.outputs["Color"], grain.inputs["Color1"])
    stuff.join(stuff.tones(stuff.noise(5, 3, stretch), ("#8f7f70", "#ffffff")), grain.inputs["Color2"])
    stuff.join(grain.outputs["Color"], stuff.body.inputs["Base Color"])
    return stuff.rough(40, 0.001, stretch).made


def marble(dice: Random) -> Any:
    stuff = Stuff("#eceae6", 0.15, Coat_Weight=0.3)
    return stuff.blended(stuff.noise(2.2, 5, (1, 2.5, 1)), ("#8b8a88", "#e2e0dc", "#f2f1ee"), 0.38, 0.6).made


def concrete(dice: Random) -> Any:
    stuff = Stuff("#9b9a97", 0.8)
    return stuff.blended(stuff.noise(3, 4), ("#84837f", "#a9a8a3", "#bab8b2")).rough(60, 0.002).made


def tiles(dice: Random) -> Any:
    stuff = Stuff("#ffffff", 0.2)
    grout = stuff.node(
        "TexBrick", {"offset": 0.0}, Scale=dice.uniform(2.5, 4), Mortar_Size=0.012, Brick_Width=1, Row_Height=1
    )
    pair = dice.choice((("#dfe5e3", "#cfd9d6"), ("#c7d3dc", "#b4c4d0"), ("#efe8dc", "#e3d8c6")))
    for name, colour in zip(("Color1", "Color2", "Mortar"), (*pair, "#8f918e"), strict=True):
        grout.inputs[name].default_value = linear(colour)
    stuff.join(stuff.places(), grout.inputs["Vector"])
    stuff.join(grout.outputs["Color"], stuff.body.inputs["Base Color"])
    return stuff.made


def room(dice: Random) -> None:
    """A floor, a wall with a skirting board and a picture, and furniture out of focus at its foot."""
    ground(planks(dice))
    away = dice.uniform(1.6, 2.8)
    wall(paint(dice.choice(("#e5e0d6", "#b7c3c0", "#cdbfae", "#dadde0")), 0.85), away)
    brick((30, 0.05, 0.22), paint("#f0efec", 0.4), 0.01, at=(0, away - 0.03, 0.11))
    for _ in range(dice.randint(1, 3)):
        tall, side = dice.uniform(0.5, 1.6), dice.choice((-1, 1))
        size = (dice.uniform(0.4, 0.9), 0.3, tall)
        colour = dice.choice(("#6b5644", "#3f5560", "#a2553f", "#d9d2c5", "#55624c"))
        brick(size, paint(colour, 0.5), 0.02, at=(side * dice.uniform(0.9, 2.2), away - 0.3, tall / 2))
    high = dice.uniform(1.1, 1.6)
    brick(
        (dice.uniform(0.5, 0.9), 0.04, 0.6),
        paint(dice.choice(("#d4a373", "#3d405b", "#81b29a")), 0.5),
        0.01,
        at=(dice.uniform(-1, 1), away - 0.03, high),
    )


# Light


def softbox(
    at: Point, size: float, watts: float, colour: str = "#ffffff", deep: float = 0.0, aim: Point = (0, 0, 0.4)
) -> Any:
    lamp = bpy.data.lights.new("light", "AREA")
    lamp.shape, lamp.size, lamp.size_y, lamp.energy = "RECTANGLE", size, deep or size, watts
    lamp.color = linear(colour)[:3]
    thing = put(lamp, None, at)
    thing.rotation_euler = (Vector(aim) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    return thing


def surround(colour: str, strength: float) -> None:
    node = next(n for n in bpy.context.scene.world.node_tree.nodes if n.type == "BACKGROUND")
    node.inputs["Color"].default_value, node.inputs["Strength"].default_value = linear(colour), strength


def light(name: str, dice: Random) -> None:
    side = dice.choice((-1, 1))
    if name == "studio":
        surround("#ffffff", 0.35)
        softbox((side * 2.2, -1.6, 2.2), 1.6, 130)
        softbox((-side * 2.4, -1.0, 1.4), 1.8, 60)
        softbox((0, 1.0, 2.8), 1.4, 60)
    elif name == "window":
        surround("#fff8ee", 0.25)
        softbox((side * 3.0, -0.4, 1.6), 2.0, 260, "#eef4ff", 2.6)
    elif name == "overhead":
        surround("#ffffff", 0.5)
        softbox((0.2 * side, -0.6, 3.0), 2.4, 210, aim=(0, 0, 0))
    elif name == "daylight":
        surround("#dbe8ff", 0.9)
        softbox((side * 3.5, -3.0, 4.5), 0.5, 500, "#fff0d8")
    else:
        surround("#fff2e2", 0.3)
        softbox((side * 1.5, -1.2, 2.4), 0.35, 110, "#ffe7cc")
        softbox((-side * 3.0, -2.0, 1.5), 2.0, 40, "#e2eaff")


# Camera


def camera(picture: Picture, dice: Random) -> Any:
    """Aimed so that the subject fills its share of the frame."""
    scene = bpy.context.scene
    lens = bpy.data.cameras.new("camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = picture.lens, FILM, "HORIZONTAL"
    thing = bpy.data.objects.new("camera", lens)
    scene.collection.objects.link(thing)
    scene.camera = thing
    scene.render.resolution_x, scene.render.resolution_y = picture.width, picture.height
    around, up = radians(picture.azimuth), radians(picture.elevation)
    back = np.array((sin(around) * cos(up), -cos(around) * cos(up), sin(up)))
    right = np.array((cos(around), sin(around), 0.0))
    above = np.cross(back, right)
    points = cloud()
    wide = FILM / 2 / picture.lens
    high = wide * picture.height / picture.width
    aim, distance = points.mean(axis=0), 4.0
    for _ in range(25):
        deep = distance - (points - aim) @ back
        x, y = ((points - aim) @ axis / deep for axis in (right, above))
        aim = aim + (right * (x.min() + x.max()) + above * (y.min() + y.max())) / 2 * distance
        distance *= max((x.max() - x.min()) / 2 / wide, (y.max() - y.min()) / 2 / high) / picture.fill
    room_left = 1 - picture.fill
    aim = (
        aim + (right * wide * dice.uniform(-1, 1) + above * high * dice.uniform(-0.6, 0.8)) * distance * room_left * 0.5
    )
    thing.location = aim + back * distance
    thing.rotation_euler = Vector(back).to_track_quat("Z", "Y").to_euler()
    lens.clip_start = 0.01
    if picture.depth:
        nearest = float((distance - (points - aim) @ back).min())
        lens.dof.use_dof, lens.dof.focus_distance = True, nearest + 0.3 * (distance - nearest)
        lens.dof.aperture_fstop = picture.lens / 1000 / (picture.depth * distance)
    return thing


def bounds(margin: float = 0.04) -> tuple[float, float, float, float]:
    """The part of the frame that the subject lies in, blur included: left, bottom, right, top as shares of it."""
    scene = bpy.context.scene
    lens, render = scene.camera.data, scene.render
    frame = np.array(scene.camera.matrix_world.inverted())
    seen = cloud(20_000) @ frame[:3, :3].T + frame[:3, 3]
    wide = lens.sensor_width / 2 / lens.lens
    x, y = (
        seen[:, 0] / -seen[:, 2] / wide,
        seen[:, 1] / -seen[:, 2] / (wide * render.resolution_y / render.resolution_x),
    )
    edges = (
        x.min() / 2 + 0.5 - margin,
        y.min() / 2 + 0.5 - margin,
        x.max() / 2 + 0.5 + margin,
        y.max() / 2 + 0.5 + margin,
    )
    return tuple(float(min(max(edge, 0.0), 1.0)) for edge in edges)  # type: ignore[return-value]
