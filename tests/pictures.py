"""Pictures for the README, of a demo that has run: `make demo && python tests/pictures.py [FOLDER]`.

Writes `run.png`, the page of the first refresh in the Prefect dashboard, and `report.png`, the top of the report of
version 1, to `flows/pictures/`. Both come from headless Chromium, are halved in size and reduced to 64 colours: 30 kB.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from support.prefect_server import ask, enter

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "flows" / "pictures"
SIZE = (1400, 1000)
"""Width and height of the window, in pixels."""
PATIENCE_MS = 15_000
"""Virtual time that a page may take to load its data."""


def photograph(url: str, target: Path) -> None:
    """Render a page in headless Chromium and write it as a small PNG."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = [f"--window-size={SIZE[0]},{SIZE[1]}", f"--virtual-time-budget={PATIENCE_MS}", f"--screenshot={shot}"]
        if url.startswith("http"):
            enter(url, Path(folder), Path(folder) / "profile")
        basics = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        subprocess.run([chromium, *basics, *options, url], check=True, capture_output=True, timeout=180)
        picture = Image.open(shot).convert("RGB").resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.LANCZOS)
        target.parent.mkdir(exist_ok=True)
        picture.quantize(64).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


def first_refresh(api: str) -> str:
    """Id of the first completed run of the flow `refresh` on the server at `api`."""
    query = {
        "flows": {"name": {"any_": ["refresh"]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "sort": "START_TIME_ASC",
        "limit": 1,
    }
    (run,) = ask(api, "flow_runs/filter", **query)
    return str(run["id"])


def main(folder: Path) -> None:
    store = folder / "store"
    photograph((store / "reports" / "version-1.html").resolve().as_uri(), PICTURES / "report.png")
    command = [sys.executable, "-m", "voicemill.flows.cli.main", "dashboard", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dashboard:
        assert dashboard.stdout is not None
        try:
            lines = iter(dashboard.stdout.readline, "")
            url = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            photograph(f"{url}/v2/runs/flow-run/{first_refresh(url + '/api')}", PICTURES / "run.png")
        finally:
            dashboard.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
