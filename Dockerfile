FROM python:3.11-slim-trixie

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# pg_dump and pg_restore for aftercare backup: Debian's client is of the same version as the database's image.
# The major version is pinned by the package's name; within it Debian's security updates are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 aftercare
WORKDIR /app

# Dependencies first: they change less often than the code.
COPY requirements.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY messages ./messages
COPY service ./service
COPY jobs ./jobs
RUN pip install --no-deps --no-build-isolation -e . \
    && python -m compileall -q messages service jobs \
    && install -d -o aftercare /app/var

USER aftercare
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["aftercare", "run", "--host", "0.0.0.0", "--port", "8000"]
