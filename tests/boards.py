"""TensorBoard's real server, and what it answers."""

import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
from PIL import Image


class Server:
    """TensorBoard's HTTP API on a port that the system chose."""

    def __init__(self, folder: pathlib.Path, log_file: pathlib.Path, fast: bool):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
        command += ["--host", "127.0.0.1", "--port", "0", f"--load_fast={str(fast).lower()}"]
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self._log = log_file
        with log_file.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._address = ""

    def wait(self, run_names: set[str], run: str, tag: str) -> None:
        """Until the runs are these, and one has this scalar, its last."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            match = re.search(r"http://127\.0\.0\.1:\d+", self._log.read_text())
            if match:
                self._address = match.group()
                tags = self.json("plugin/scalars/tags")
                if set(self.json("runs")) == run_names and tag in tags.get(run, {}):
                    return
            time.sleep(0.2)
        raise RuntimeError(self._log.read_text())

    def bytes(self, path: str, body: dict | None = None, **query: str) -> bytes:
        address = f"{self._address}/data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with self._open(urllib.request.Request(address, data, headers), timeout=30) as reply:
            return reply.read()

    def json(self, path: str, body: dict | None = None, **query: str):
        return json.loads(self.bytes(path, body, **query))

    def points(self, run: str, tag: str) -> list[tuple[int, float]]:
        rows = self.json("plugin/scalars/scalars", run=run, tag=tag)
        return [(step, float(value)) for _, step, value in rows]

    def image(self, run: str, tag: str, index: int = -1) -> np.ndarray:
        entries = self.json("plugin/images/images", run=run, tag=tag, sample="0")
        query = dict(urllib.parse.parse_qsl(entries[index]["query"]))
        return np.asarray(
            Image.open(io.BytesIO(self.bytes("plugin/images/individualImage", **query)))
        )

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)
