"""Make docs/worked-fork.md and docs/worked-fork.json anew: `python -m scripts.worked_fork`.

They are the same byte for byte, unless the protocol or what an engine does of itself has changed.
"""

from __future__ import annotations

from tests.support.worked_fork import play
from tests.support.worked_fork_page import JSON, PAGE, make_json, make_page


def main() -> None:
    """Write the page and the JSON."""
    room = play()
    for path, text in ((JSON, make_json(room)), (PAGE, make_page(room))):
        path.write_text(text)
        print(f"{path.name}: {len(text)} characters")


if __name__ == "__main__":
    main()
