"""Runs chameleoniq over volumes; started by `bench.phantoms.peers` in that program's environment.

It is told the centres, the central slice and the twelve background places; it finds none of them itself.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import yaml
from config.defaults import get_cfg_defaults
from nema_quant.analysis import calculate_nema_metrics
from nema_quant.io import load_nii_image
from nema_quant.phantom import NemaPhantom


def write_inputs(task: dict, folder: Path) -> tuple[Path, Path]:
    """Write the image as NIfTI and the settings as YAML."""
    image = sitk.GetImageFromArray(np.load(task["image"]))
    image.SetSpacing(task["spacing_zyx_mm"][::-1])
    settings = {
        "ACTIVITY": {"RATIO": task["ratio"]},
        "PHANTHOM": {
            "ROI_DEFINITIONS_MM": [
                {
                    "center_yx": center,
                    "diameter_mm": int(diameter),
                    "color": "red",
                    "alpha": 0.2,
                    "name": f"hot_sphere_{diameter}mm",
                }
                for diameter, center in task["centers_yx"].items()
            ]
        },
        "ROIS": {
            "CENTRAL_SLICE": task["central_slice"],
            "BACKGROUND_OFFSET_YX": task["background_offsets_yx"],
            "SPACING": task["spacing_zyx_mm"][2],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    nifti, yaml_file = folder / "image.nii", folder / "settings.yaml"
    sitk.WriteImage(image, str(nifti))
    yaml_file.write_text(yaml.safe_dump(settings))
    return nifti, yaml_file


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    answers = []
    for k, task in enumerate(job["tasks"]):
        folder = Path(task.get("folder") or f"task-{k}")
        nifti, settings = write_inputs(task, folder)
        if job.get("only_write"):
            continue
        cfg = get_cfg_defaults()
        cfg.merge_from_file(str(settings))
        began = time.perf_counter()
        image, affine = load_nii_image(nifti, return_affine=True)
        phantom = NemaPhantom(cfg, image.shape, tuple(float(abs(affine[i, i])) for i in range(3)))
        try:
            found, _ = calculate_nema_metrics(image, phantom, cfg)
        except (ValueError, IndexError) as error:
            answers.append({"failed": str(error)})
            continue
        answers.append({"spheres": found, "seconds": time.perf_counter() - began})
    Path(sys.argv[2]).write_text(json.dumps(answers, default=float))


if __name__ == "__main__":
    main()
