# syntax=docker/dockerfile:1
# The command as an image. It holds no configuration: mount one, and give passwords by environment variables.
#   docker build -t mssql-pg-migrate .
#   docker run --rm -v ./config.yaml:/config/config.yaml:ro -v migration-state:/state \
#     -e MSSQL_PASSWORD -e POSTGRES_PASSWORD mssql-pg-migrate --state-file /state/migration.state run --auto-resume

ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
# A compiler for the two native modules; without them everything works, only slower.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/mssql-pg-migrate
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src ./src
# "ui" brings init and tui; --build-arg EXTRAS= leaves them out.
ARG EXTRAS=ui
RUN /opt/mssql-pg-migrate/bin/pip install --no-cache-dir --no-compile ".${EXTRAS:+[$EXTRAS]}" \
    && /opt/mssql-pg-migrate/bin/pip uninstall --yes --quiet setuptools pip \
    && /opt/mssql-pg-migrate/bin/python -m compileall -q /opt/mssql-pg-migrate/lib \
    && /opt/mssql-pg-migrate/bin/mssql-pg-migrate --version

FROM python:${PYTHON_VERSION}-slim-bookworm
# What Microsoft's driver links to: libtool's loader, Kerberos, OpenSSL.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates libgssapi-krb5-2 libkrb5-3 libltdl7 libssl3 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 migrate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin migrate \
    && install --directory --owner=migrate --group=migrate --mode=0770 /state \
    && install --directory /config
COPY --from=build /opt/mssql-pg-migrate /opt/mssql-pg-migrate
# Nothing is written outside /state: the root file system can be read-only.
ENV PATH=/opt/mssql-pg-migrate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /config
VOLUME /state
STOPSIGNAL SIGTERM
# The exec form: the command is process 1 and gets SIGTERM itself.
ENTRYPOINT ["mssql-pg-migrate"]
CMD ["--help"]
