"""An S3 server on this machine, over real HTTP: moto's, which keeps its objects in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from pathlib import Path

SIGNED_IN = {
    "AWS_ACCESS_KEY_ID": "of a test",
    "AWS_SECRET_ACCESS_KEY": "of a test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


class ObjectStorage:
    """The server; use it as a context manager. `environment` is what a process needs to find it."""

    def __enter__(self) -> ObjectStorage:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.environment = SIGNED_IN | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        self._client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=SIGNED_IN["AWS_DEFAULT_REGION"],
            aws_access_key_id=SIGNED_IN["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SIGNED_IN["AWS_SECRET_ACCESS_KEY"],
        )
        self._buckets = 0
        return self

    def __exit__(self, *_: object) -> None:
        from s3fs import S3FileSystem

        self._client.close()
        self._server.stop()
        S3FileSystem.clear_instance_cache()

    def bucket(self) -> Bucket:
        """A new, empty bucket."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        self._client.create_bucket(Bucket=name)
        return Bucket(self._client, name)


class Bucket:
    """A bucket of the server, written and read by Amazon's own client."""

    def __init__(self, client, name: str) -> None:
        self._client, self.name = client, name
        self.url = f"s3://{name}"

    def put(self, key: str, content: bytes) -> str:
        """Store an object; its URL."""
        self._client.put_object(Bucket=self.name, Key=key, Body=content)
        return f"{self.url}/{key}"

    def put_folder(self, key: str, folder: Path) -> str:
        """Store the files of a folder below a key; its URL."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._client.upload_file(str(path), self.name, f"{key}/{path.relative_to(folder).as_posix()}")
        return f"{self.url}/{key}"

    def keys(self) -> list[str]:
        """What is there."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", ()))

    def get(self, key: str) -> bytes:
        """The content of an object."""
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
