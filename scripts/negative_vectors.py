"""Make the negative vectors anew: `python -m scripts.negative_vectors [AREA ...]`.

They are the same byte for byte, unless what makes them or the way in which a case is refused has changed.
"""

from __future__ import annotations

import sys

from tests.support.negative.areas import AREAS, FOLDER, area_file, make_area


def main() -> None:
    """Write the files of the named areas, or of all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for area in sys.argv[1:] or AREAS:
        text = make_area(area)
        area_file(area).write_text(text)
        print(f"{area}: {len(text)} bytes")


if __name__ == "__main__":
    main()
