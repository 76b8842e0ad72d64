ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- the locked dependencies, in an environment of their own ----
FROM ${BASE_IMAGE} AS dependencies
# A base image may end with a user that may not install.
USER root
# Where the index of this machine is another one; it stays in this stage.
ARG PIP_INDEX_URL
COPY requirements.lock /tmp/requirements.lock
# Nothing is installed later: the installers go.
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r /tmp/requirements.lock \
 && /opt/venv/bin/python -m pip uninstall --yes --quiet setuptools pip

# ---- the image ----
# The same base: the environment's interpreter is a link to the base's.
FROM ${BASE_IMAGE}
USER root
COPY --from=dependencies /opt/venv /opt/venv
COPY destination_qdrant /airbyte/integration_code/destination_qdrant
COPY main.py metadata.yaml LICENSE /airbyte/integration_code/

# Readable for all, whatever the modes of the checkout; compiled now, because the root file system may be read-only later.
# The user has Airbyte's id and no home; Airbyte's own base images bring it along.
RUN chmod -R a+rX /airbyte \
 && /opt/venv/bin/python -m compileall -q /airbyte/integration_code \
 && { getent passwd 1000 > /dev/null \
   || { { getent group 1000 > /dev/null || groupadd --gid 1000 airbyte; } \
     && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin airbyte; }; }

# HOME: libraries that insist on a cache find the one place that is always writable.
# PYTHONUTF8: messages are UTF-8 whatever locale the pod has.
ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUTF8=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    AIRBYTE_ENTRYPOINT="/opt/venv/bin/python /airbyte/integration_code/main.py"

USER 1000:1000
# The platform runs AIRBYTE_ENTRYPOINT in /config, /dest or elsewhere; `docker run` runs this: the same words.
ENTRYPOINT ["/opt/venv/bin/python", "/airbyte/integration_code/main.py"]

LABEL org.opencontainers.image.title="destination-qdrant" \
      org.opencontainers.image.licenses="MIT" \
      io.airbyte.name="airbyte/destination-qdrant" \
      io.airbyte.version="0.2.0"
