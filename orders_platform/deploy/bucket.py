"""The bucket of a deployment: objects that are named by their content are put there once, and never changed."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from orders_platform.deploy.plan import Step
from orders_platform.errors import OrdersError, ServiceUnavailable

TIMEOUT_S = 60.0


class Bucket(msgspec.Struct, frozen=True):
    """A bucket of Google Cloud Storage, as `gs://NAME` or `gs://NAME/PREFIX`."""

    address: str
    project: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.address.removeprefix("gs://").split("/")[0]

    def step(self) -> Step:
        """Return whether it is there and whether we may use it: an administrator makes it.

        Raises:
            ServiceUnavailable: Cloud Storage can't be reached.
        """
        with self._client() as client:
            found = client.lookup_bucket(self.name, timeout=TIMEOUT_S)
        if found is not None:
            return Step(f"bucket gs://{self.name}", "as wanted")
        return Step(
            f"bucket gs://{self.name}",
            "missing",
            needs=f"gcloud storage buckets create gs://{self.name} --project={self.project} "
            "--uniform-bucket-level-access --public-access-prevention --location=REGION",
        )

    def object_step(self, uri: str, file: Path) -> Step:
        """Return what is to be done for an object to hold a file's bytes.

        Raises:
            OrdersError: it holds others; names follow from contents, so somebody put them there.
            ServiceUnavailable: Cloud Storage can't be reached.
        """
        size = file.stat().st_size
        digest = base64.b64encode(_md5(file)).decode()
        with self._client() as client:
            found = client.bucket(self.name).get_blob(self._inside(uri), timeout=TIMEOUT_S)
        if found is None:
            request = {"bucket": self.name, "name": self._inside(uri), "size": size, "md5_hash": digest}
            return Step(
                f"object {uri}",
                "missing",
                f"upload {file.name} ({size / 1e6:,.1f} MB)",
                request | {"if_generation_match": 0},
                act=lambda: self._upload(uri, file, digest),
            )
        if found.md5_hash not in (None, digest) or found.size != size:
            raise OrdersError(
                f"{uri} holds something else than what this checkout puts there.",
                "Remove the object if nothing runs from it, and look who may write to the bucket.",
            )
        return Step(f"object {uri}", "as wanted")

    def _upload(self, uri: str, file: Path, digest: str) -> None:
        from google.api_core.exceptions import PreconditionFailed

        with self._client() as client:
            blob = client.bucket(self.name).blob(self._inside(uri))
            blob.md5_hash = digest
            try:
                # Never over another: two who deploy at once put the same bytes there.
                blob.upload_from_filename(str(file), if_generation_match=0, timeout=TIMEOUT_S)
            except PreconditionFailed:
                self.object_step(uri, file)

    def _inside(self, uri: str) -> str:
        return uri.removeprefix(f"gs://{self.name}/")

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from google.api_core import exceptions as api
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import storage

        try:
            client = storage.Client(project=self.project)
            try:
                yield client
            finally:
                client.close()
        except GoogleAuthError:
            raise OrdersError(
                "This process has no credentials that Google accepts.",
                "Run `gcloud auth application-default login`, or give the machine a service account.",
            ) from None
        except (api.Forbidden, api.Unauthorized):
            raise OrdersError(
                f"Cloud Storage refuses the bucket gs://{self.name}.",
                "Grant the account the role Storage Object User on it.",
            ) from None
        except (api.GoogleAPICallError, api.RetryError, OSError) as error:
            raise ServiceUnavailable(
                f"Cloud Storage did not do it ({type(error).__name__}).", "Check the network, and do it again."
            ) from None


def _md5(file: Path) -> bytes:
    """Return what Cloud Storage checks an upload by; the names themselves follow from SHA-256."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).digest()
