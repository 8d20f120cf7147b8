"""An OCI image of one layer, made without a daemon: its manifest's digest is what Confidential Space attests.

Source: OCI Image Format Specification 1.1 (image-spec). JSON is written in one way, so that equal layers and
configurations have equal digests.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Image", "image_of"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image.

    Attributes:
        digest: of its manifest, as registries, runtimes and attestation tokens name it ("sha256:…").
        blobs: manifest, configuration and layer by their digests.
    """

    digest: str
    blobs: Mapping[str, bytes]

    def archive(self, epoch: int) -> bytes:
        """An image layout (``oci-layout``, ``index.json``, ``blobs``) as one archive, for a registry's tools."""
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [_descriptor("manifest.v1+json", self.blobs[self.digest])],
        }
        files = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json(index),
            **{f"blobs/sha256/{digest.removeprefix('sha256:')}": blob for digest, blob in self.blobs.items()},
        }
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in sorted(files.items()):
                header = tarfile.TarInfo(name)
                header.mtime, header.mode, header.size = epoch, 0o644, len(data)
                archive.addfile(header, io.BytesIO(data))
        return stream.getvalue()


def image_of(
    layer: bytes,
    *,
    entrypoint: Sequence[str],
    arguments: Sequence[str],
    labels: Mapping[str, str],
    epoch: int,
) -> Image:
    """The image of one layer (an uncompressed tar archive), for Linux on x86_64."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = _json(
        {
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": list(entrypoint),
                "Cmd": list(arguments),
                "WorkingDir": "/",
                "Labels": dict(labels),
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": created, "created_by": "apps.images"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("config.v1+json", config),
            "layers": [_descriptor("layer.v1.tar", layer)],
        }
    )
    return Image(_digest(manifest), {_digest(each): each for each in (manifest, config, layer)})


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": _digest(data),
        "size": len(data),
    }


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
