#!/bin/sh
# Build the image with the first engine that answers. TAG and BASE_IMAGE may be set in the environment.
set -eu
cd "$(dirname "$0")/.."

tag=${TAG:-airbyte/destination-qdrant:dev}
set -- --tag "$tag"
if [ -n "${BASE_IMAGE:-}" ]; then
  set -- "$@" --build-arg "BASE_IMAGE=$BASE_IMAGE"
fi

# A docker client without its daemon is common; asking for the server's version tells.
if docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
  exec docker build "$@" .
elif podman --version >/dev/null 2>&1; then
  exec podman build "$@" .
elif buildah --version >/dev/null 2>&1; then
  exec buildah build "$@" .
fi
echo "No container engine: docker has no running daemon here, and neither podman nor buildah is on PATH." >&2
exit 1
