"""Make the known answers of docs/protocol.md anew: `python -m scripts.protocol_vectors [FILE ...]`.

They are the same byte for byte, unless the protocol has changed.
"""

from __future__ import annotations

import sys

from tests.support.known_answers.files import FILES, FOLDER, make_file


def main() -> None:
    """Write the named files, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or FILES:
        text = make_file(name)
        (FOLDER / f"{name}.json").write_text(text)
        print(f"{name}: {len(text)} bytes")


if __name__ == "__main__":
    main()
