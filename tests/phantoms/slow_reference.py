"""The numbers of the phantom methods once more, by plain loops over voxels, from their definitions alone.

Nothing here uses ``phantoms`` or numpy. An image is nested lists ``image[z][y][x]`` on a grid whose first voxel's
centre lies at ``origin_mm`` and whose steps are ``spacing_mm``; every triple is (z, y, x), in millimetres. A voxel is a
box of constant value and counts as much as it lies inside a region; what lies inside is counted by thin strips, not by
a closed form. Regions that a method must choose for itself (where the phantom lies, where the background regions go)
are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

Triple = tuple[float, float, float]
#: How many strips a voxel's edge is cut into where the border of a region crosses it.
STRIPS = 48
PEAK_RADIUS_MM = (3000.0 / (4.0 * math.pi)) ** (1.0 / 3.0)  # 1 mL


@dataclass(frozen=True)
class Grid:
    """An image and its place."""

    image: list[list[list[float]]]
    origin_mm: Triple
    spacing_mm: Triple

    def at_mm(self, index: tuple[int, int, int]) -> Triple:
        """Return where the centre of a voxel lies."""
        z, y, x = (o + k * s for o, k, s in zip(self.origin_mm, index, self.spacing_mm, strict=True))
        return z, y, x

    def voxels_within(self, center_mm: Triple, reach_mm: float) -> Iterator[tuple[int, int, int]]:
        """Yield the voxels of the image whose boxes can touch a ball."""
        sizes = (len(self.image), len(self.image[0]), len(self.image[0][0]))
        spans = []
        for middle, origin, step, size in zip(center_mm, self.origin_mm, self.spacing_mm, sizes, strict=True):
            low = math.floor((middle - reach_mm - origin) / step - 0.5)
            high = math.ceil((middle + reach_mm - origin) / step + 0.5)
            spans.append(range(max(low, 0), min(high, size - 1) + 1))
        for z in spans[0]:
            for y in spans[1]:
                for x in spans[2]:
                    yield z, y, x


def distance_mm(a: Triple, b: Triple) -> float:
    return math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))


# --- spheres --------------------------------------------------------------------------------------


def hottest_and_a50(
    grid: Grid, center_mm: Triple, diameter_mm: float, background: float, others_mm: list[Triple]
) -> tuple[float, float]:
    """Return the hottest voxel and A50 of one sphere.

    Looked at are voxels up to 6 mm outside the sphere that no other sphere's centre is nearer to. A50 is the mean of
    those that reach half-way from the background to the hottest one and hang together with it over faces, edges or
    corners.
    """
    inside = {}
    for at in grid.voxels_within(center_mm, diameter_mm / 2 + 6):
        place = grid.at_mm(at)
        away = distance_mm(place, center_mm)
        if away <= diameter_mm / 2 + 6 and all(away <= distance_mm(place, other) for other in others_mm):
            inside[at] = grid.image[at[0]][at[1]][at[2]]
    start = max(inside, key=lambda at: inside[at])
    threshold = (inside[start] + background) / 2
    seen, waiting = {start}, [start]
    while waiting:
        z, y, x = waiting.pop()
        for dz in (-1, 0, 1):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    near = (z + dz, y + dy, x + dx)
                    if near not in seen and inside.get(near, -math.inf) >= threshold:
                        seen.add(near)
                        waiting.append(near)
    return inside[start], sum(inside[at] for at in seen) / len(seen)


def peak(grid: Grid, center_mm: Triple, diameter_mm: float) -> float:
    """Return the highest mean of a 1 mL sphere whose centre lies inside the sphere.

    Tried as centres are the middles of the voxels, and the middles of the equal parts, 1 mm or shorter, of their edges.
    """
    parts = [max(math.ceil(step / 1.0 - 1e-9), 1) for step in grid.spacing_mm]
    offsets = [
        ((a + 0.5) / parts[0] - 0.5, (b + 0.5) / parts[1] - 0.5, (c + 0.5) / parts[2] - 0.5)
        for a in range(parts[0])
        for b in range(parts[1])
        for c in range(parts[2])
    ]
    if (0.0, 0.0, 0.0) not in offsets:
        offsets.append((0.0, 0.0, 0.0))
    best = -math.inf
    for offset in offsets:
        shift = tuple(o * s for o, s in zip(offset, grid.spacing_mm, strict=True))
        shares = _ball_shares(shift, grid.spacing_mm, PEAK_RADIUS_MM)
        whole = sum(share for _, share in shares)
        for z, y, x in grid.voxels_within(center_mm, diameter_mm / 2):
            place = tuple(p + s for p, s in zip(grid.at_mm((z, y, x)), shift, strict=True))
            if distance_mm(place, center_mm) > diameter_mm / 2:
                continue
            total = 0.0
            for (dz, dy, dx), share in shares:
                total += share * grid.image[z + dz][y + dy][x + dx]
            best = max(best, total / whole)
    return best


@cache
def _ball_shares(center_mm: Triple, spacing_mm: Triple, radius_mm: float) -> list[tuple[tuple[int, int, int], float]]:
    """Return how much of each voxel about the origin lies in a ball: by thin columns along z, cut at their ends."""
    sz, sy, sx = spacing_mm
    reach = [math.ceil(radius_mm / step + 1) for step in spacing_mm]
    strips = 12
    shares: dict[tuple[int, int, int], float] = {}
    for y in range(-reach[1], reach[1] + 1):
        for x in range(-reach[2], reach[2] + 1):
            for a in range(strips):
                for b in range(strips):
                    v = (y + (a + 0.5) / strips - 0.5) * sy - center_mm[1]
                    u = (x + (b + 0.5) / strips - 0.5) * sx - center_mm[2]
                    left = radius_mm**2 - u * u - v * v
                    if left <= 0:
                        continue
                    half = math.sqrt(left)
                    for z in range(-reach[0], reach[0] + 1):
                        top = min((z + 0.5) * sz, center_mm[0] + half)
                        bottom = max((z - 0.5) * sz, center_mm[0] - half)
                        if top > bottom:
                            shares[z, y, x] = shares.get((z, y, x), 0.0) + (top - bottom) / sz / strips**2
    return list(shares.items())


# --- discs ----------------------------------------------------------------------------------------


def disc(grid: Grid, z: int, center_mm: Triple, diameter_mm: float) -> list[tuple[float, float]]:
    """Return (value, share) of the pixels of one slice inside a disc."""
    radius = diameter_mm / 2
    _, sy, sx = grid.spacing_mm
    plane = Grid([grid.image[z]], (center_mm[0], *grid.origin_mm[1:]), grid.spacing_mm)
    found = []
    for _, y, x in plane.voxels_within(center_mm, radius):
        _, v, u = (p - c for p, c in zip(plane.at_mm((0, y, x)), center_mm, strict=True))
        share = _disc_share(v, u, sy, sx, radius)
        if share:
            found.append((grid.image[z][y][x], share))
    return found


def _disc_share(v: float, u: float, sy: float, sx: float, radius: float) -> float:
    """Return how much of a pixel at (v, u) off the centre lies in a disc: strips along y, cut at the circle."""
    far = math.hypot(abs(v) + sy / 2, abs(u) + sx / 2)
    near = math.hypot(max(abs(v) - sy / 2, 0), max(abs(u) - sx / 2, 0))
    if far <= radius:
        return 1.0
    if near >= radius:
        return 0.0
    total = 0.0
    for k in range(STRIPS):
        at = u + ((k + 0.5) / STRIPS - 0.5) * sx
        left = radius**2 - at * at
        if left <= 0:
            continue
        half = math.sqrt(left)
        total += max(min(v + sy / 2, half) - max(v - sy / 2, -half), 0.0)
    return total / sy / STRIPS


def weighted_mean(pixels: list[tuple[float, float]]) -> float:
    return sum(value * share for value, share in pixels) / sum(share for _, share in pixels)


def slice_nearest(grid: Grid, z_mm: float) -> int:
    return min(range(len(grid.image)), key=lambda k: abs(grid.at_mm((k, 0, 0))[0] - z_mm))


def background_means(grid: Grid, centers_mm: list[Triple], diameter_mm: float) -> list[float]:
    """Return the region means of one diameter at twelve places on the planes 0, 10 and 20 mm to either side."""
    means = []
    for offset in (-20.0, -10.0, 0.0, 10.0, 20.0):
        for center in centers_mm:
            at = slice_nearest(grid, center[0] + offset)
            means.append(weighted_mean(disc(grid, at, center, diameter_mm)))
    return means


def variability(means: list[float]) -> float:
    """Return N: the standard deviation of region means over their mean."""
    middle = sum(means) / len(means)
    return math.sqrt(sum((one - middle) ** 2 for one in means) / (len(means) - 1)) / middle


def contrast_recovery(
    grid: Grid, center_mm: Triple, diameter_mm: float, background_of_size: float, ratio: float
) -> float:
    """Return Q_H as a fraction: NEMA's disc of the sphere's diameter in the slice nearest to its centre."""
    hot = weighted_mean(disc(grid, slice_nearest(grid, center_mm[0]), center_mm, diameter_mm))
    return (hot / background_of_size - 1) / (ratio - 1)


def background_cov(grid: Grid, centers_mm: list[Triple]) -> float:
    """Return the standard deviation of all voxels in the sixty regions of 37 mm over their mean."""
    pixels = []
    for offset in (-20.0, -10.0, 0.0, 10.0, 20.0):
        for center in centers_mm:
            pixels += disc(grid, slice_nearest(grid, center[0] + offset), center, 37.0)
    middle = weighted_mean(pixels)
    whole = sum(share for _, share in pixels)
    return math.sqrt(sum(share * (value - middle) ** 2 for value, share in pixels) / whole) / middle


# --- cylinder -------------------------------------------------------------------------------------


def cylinder_mean(grid: Grid, center_mm: Triple, axis: Triple, radius_mm: float, length_mm: float) -> float:
    """Return the mean of the voxels whose centres lie 20 mm and more inside a cylinder's wall and ends."""
    total, count = 0.0, 0
    for z, plane in enumerate(grid.image):
        for y, row in enumerate(plane):
            for x, value in enumerate(row):
                place = grid.at_mm((z, y, x))
                off = [p - c for p, c in zip(place, center_mm, strict=True)]
                along = sum(o * a for o, a in zip(off, axis, strict=True))
                across = math.sqrt(max(sum(o * o for o in off) - along * along, 0.0))
                if abs(along) <= length_mm / 2 - 20 and across <= radius_mm - 20:
                    total += value
                    count += 1
    return total / count


# --- what a perfect scanner would read ----------------------------------------------------------------


def blurred_sphere(r: float, radius_mm: float, sigma_mm: float) -> float:
    """Return the unit sphere convolved with a Gaussian, at distance r from its centre."""
    width = math.sqrt(2.0) * sigma_mm
    z, Z = max(r, 1e-3) / width, radius_mm / width
    ends = math.exp(-((z - Z) ** 2)) - math.exp(-((z + Z) ** 2))
    return (math.erf(z + Z) - math.erf(z - Z)) / 2 - ends / (2 * math.sqrt(math.pi) * z)


def model_recovery(fwhm_mm: float, diameter_mm: float, ratio: float) -> tuple[float, float, float]:
    """Return (A50, maximum, peak) over the truth of a thin-walled hot sphere, noise-free and continuous."""
    sigma, radius = fwhm_mm / math.sqrt(8 * math.log(2)), diameter_mm / 2

    def profile(r: float) -> float:
        return (1 + (ratio - 1) * blurred_sphere(r, radius, sigma)) / ratio

    def ball_mean(until: float) -> float:
        steps = 2000
        shells = [(k + 0.5) * until / steps for k in range(steps)]
        return sum(r * r * profile(r) for r in shells) / sum(r * r for r in shells)

    half = (profile(0.0) + 1 / ratio) / 2
    low, high = 0.0, radius + 5 * sigma
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if profile(middle) >= half else (low, middle)
    return ball_mean(low), profile(0.0), ball_mean(PEAK_RADIUS_MM)
