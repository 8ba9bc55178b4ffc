"""The page at the server's root: one file, with nothing from elsewhere, under a policy that allows nothing else."""

import base64
import hashlib
import re
from importlib import resources

HTML = resources.files("deploy.server.rest").joinpath("page.html").read_text("utf-8")


def _hashes(tag: str) -> str:
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", HTML, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts)


POLICY = (
    f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: only the script and the style that are in the page, by their digests."""
