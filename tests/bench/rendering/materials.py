"""What things are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
import numpy as np
from PIL import Image

Colour = str
"""As #rrggbb."""


def linear(colour: Colour) -> tuple[float, float, float, float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return red, green, blue, 1.0


class Stuff:
    """A material that is being put together; `.made` is what objects take."""

    def __init__(self, colour: Colour, rough: float = 0.5, **inputs: float) -> None:
        self.made = bpy.data.materials.new("stuff")
        self.made.use_nodes = True
        self.nodes, self.links = self.made.node_tree.nodes, self.made.node_tree.links
        self.body = next(node for node in self.nodes if node.type == "BSDF_PRINCIPLED")
        self.end = next(node for node in self.nodes if node.type == "OUTPUT_MATERIAL")
        self.body.inputs["Base Color"].default_value = linear(colour)
        self.body.inputs["Roughness"].default_value = rough
        for name, value in inputs.items():
            self.body.inputs[name.replace("_", " ")].default_value = value

    def node(self, kind: str, settings: Mapping[str, Any] | None = None, **inputs: Any) -> Any:
        made = self.nodes.new(f"ShaderNode{kind}")
        for name, value in (settings or {}).items():
            setattr(made, name, value)
        for name, value in inputs.items():
            made.inputs[name.replace("_", " ")].default_value = value
        return made

    def join(self, source: Any, target: Any) -> None:
        self.links.new(source, target)

    def places(self, stretch: Sequence[float] = (1, 1, 1), turn: float = 0.0) -> Any:
        """Where a point of the object is, each axis stretched, turned about z."""
        where, scaled = self.node("TexCoord"), self.node("Mapping")
        scaled.inputs["Scale"].default_value = stretch
        scaled.inputs["Rotation"].default_value = (0, 0, turn)
        self.join(where.outputs["Object"], scaled.inputs["Vector"])
        return scaled.outputs["Vector"]

    def noise(self, scale: float, detail: float = 3, stretch: Sequence[float] = (1, 1, 1)) -> Any:
        made = self.node("TexNoise", Scale=scale, Detail=detail)
        self.join(self.places(stretch), made.inputs["Vector"])
        return made.outputs["Fac"]

    def rough(self, scale: float, height: float, stretch: Sequence[float] = (1, 1, 1)) -> Stuff:
        return self.relief(self.noise(scale, 1, stretch), height)

    def relief(self, source: Any, height: float, strength: float = 0.6) -> Stuff:
        bump = self.node("Bump", Strength=strength, Distance=height)
        before = self.body.inputs["Normal"]
        if before.is_linked:
            self.join(before.links[0].from_socket, bump.inputs["Normal"])
        self.join(source, bump.inputs["Height"])
        self.join(bump.outputs["Normal"], before)
        return self

    def woven(self, scale: float, height: float) -> Stuff:
        """Threads both ways, along the object's own x and z + y."""
        where = self.places()
        both = self.node("Math", {"operation": "MAXIMUM"})
        for i, direction in enumerate(("X", "DIAGONAL")):
            made = self.node("TexWave", {"bands_direction": direction}, Scale=scale, Distortion=1.5, Detail=1)
            self.join(where, made.inputs["Vector"])
            self.join(made.outputs["Fac"], both.inputs[i])
        return self.relief(both.outputs[0], height)

    def blended(self, source: Any, colours: Sequence[Colour], low: float = 0.3, high: float = 0.7) -> Stuff:
        """Coloured by a value, the first colour where it is low."""
        self.join(self.tones(source, colours, low, high), self.body.inputs["Base Color"])
        return self

    def tones(self, source: Any, colours: Sequence[Colour], low: float = 0.3, high: float = 0.7) -> Any:
        ramp = self.node("ValToRGB")
        stops = ramp.color_ramp.elements
        while len(stops) < len(colours):
            stops.new(0.5)
        for i, colour in enumerate(colours):
            stops[i].position = low + (high - low) * i / max(1, len(colours) - 1)
            stops[i].color = linear(colour)
        self.join(source, ramp.inputs["Fac"])
        return ramp.outputs["Color"]

    def banded(self, colours: Sequence[Colour], scale: float, direction: str = "X", bend: float = 3.0) -> Stuff:
        made = self.node("TexWave", {"bands_direction": direction}, Scale=scale, Distortion=bend, Detail=3)
        self.join(self.places(), made.inputs["Vector"])
        return self.blended(made.outputs["Fac"], colours, 0.1, 0.9)

    def lets_light_through(self, tint: Colour) -> Stuff:
        """Shadows of glass are bright: what light does behind it is not traced."""
        path = self.node("LightPath")
        passing, mixed = self.node("BsdfTransparent", Color=linear(tint)), self.node("MixShader")
        self.join(path.outputs["Is Shadow Ray"], mixed.inputs[0])
        self.join(self.body.outputs["BSDF"], mixed.inputs[1])
        self.join(passing.outputs["BSDF"], mixed.inputs[2])
        self.join(mixed.outputs["Shader"], self.end.inputs["Surface"])
        return self


def paint(colour: Colour, rough: float = 0.4, **inputs: float) -> Any:
    return Stuff(colour, rough, **inputs).made


def metal(colour: Colour = "#c9cbd0", rough: float = 0.2) -> Any:
    return paint(colour, rough, Metallic=1.0)


def glass(tint: Colour = "#ffffff", rough: float = 0.0, bends: float = 1.47) -> Any:
    return Stuff(tint, rough, Transmission_Weight=1.0, IOR=bends).lets_light_through(tint).made


def film(tint: Colour = "#f4f6f6", rough: float = 0.08, share: float = 0.25) -> Any:
    """Thin clear plastic, which bends nothing: it mirrors at a slant, and lets the rest through."""
    stuff = Stuff(tint, rough)
    mirror, through = stuff.node("BsdfGlossy", Roughness=rough), stuff.node("BsdfTransparent", Color=linear(tint))
    slant, mixed = stuff.node("LayerWeight", Blend=share), stuff.node("MixShader")
    for i, source in enumerate((slant.outputs["Fresnel"], through.outputs["BSDF"], mirror.outputs["BSDF"])):
        stuff.join(source, mixed.inputs[i])
    stuff.join(mixed.outputs["Shader"], stuff.end.inputs["Surface"])
    return stuff.made


def printed(picture: Image.Image, rough: float = 0.45, **inputs: float) -> Any:
    """A picture by the mesh's own U and V."""
    stuff = Stuff("#ffffff", rough, **inputs)
    pixels = np.flipud(np.asarray(picture.convert("RGBA"), np.float32) / 255)
    image = bpy.data.images.new("print", picture.width, picture.height)
    image.pixels.foreach_set(np.ascontiguousarray(pixels).ravel())
    image.pack()
    texture = stuff.node("TexImage", {"image": image})
    stuff.join(texture.outputs["Color"], stuff.body.inputs["Base Color"])
    return stuff.made


def cloth(colour: Colour, scale: float = 120, height: float = 0.004, sheen: float = 0.3) -> Any:
    return Stuff(colour, 0.9, Sheen_Weight=sheen).woven(scale, height).made


def wood(colours: Sequence[Colour], scale: float = 6, rough: float = 0.45, along: str = "X") -> Any:
    """Grain along an axis of the object."""
    stretch = {"X": (0.12, 1.6, 1.6), "Y": (1.6, 0.12, 1.6), "Z": (1.6, 1.6, 0.12)}[along]
    stuff = Stuff(colours[0], rough)
    stuff.blended(stuff.noise(scale, 4, stretch), colours, 0.3, 0.7)
    return stuff.rough(scale * 5, 0.002, stretch).made


def hair(colour: Colour) -> Any:
    """Of strands: matt, and half of the light goes through; a truer model takes minutes."""
    stuff = Stuff(colour, 0.7, Sheen_Weight=0.2)
    through, mixed = stuff.node("BsdfTranslucent", Color=linear(colour)), stuff.node("MixShader", Fac=0.45)
    stuff.join(stuff.body.outputs["BSDF"], mixed.inputs[1])
    stuff.join(through.outputs["BSDF"], mixed.inputs[2])
    stuff.join(mixed.outputs["Shader"], stuff.end.inputs["Surface"])
    return stuff.made
