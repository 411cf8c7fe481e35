# One image for the six services and the command line: what it does is its command.
#   docker build -f deploy/docker/service.Dockerfile -t onpoint:0.1.0 .
#   docker run … onpoint:0.1.0 python -m services.crawler.app

FROM python:3.11.14-slim-bookworm AS build

# The lock names every library with its hash; nothing is compiled, so no compiler is needed here either. Tests and what
# compilers need of these libraries goes. Byte code is made once, here: the root is read-only, so each start would make
# it anew. It is not compared with a source's time, which differs from build to build.
COPY requirements.services.lock /tmp/requirements.services.lock
RUN python -m venv --without-pip /opt/onpoint \
 && pip --python /opt/onpoint/bin/python install --no-cache-dir --disable-pip-version-check --no-compile \
      --only-binary :all: --require-hashes -r /tmp/requirements.services.lock \
 && find /opt/onpoint -depth -type d \( -name tests -o -name test -o -name include -o -name src \) \
      -path '*/site-packages/*' -exec rm -rf {} + \
 && find /opt/onpoint -type f \( -name '*.py[xi]' -o -name '*.px[di]' -o -name '*.c' -o -name '*.h' \) -delete \
 && python -m compileall -q -j 2 --invalidation-mode unchecked-hash /opt/onpoint/lib

WORKDIR /app
COPY shared shared
COPY services services
COPY console console
COPY deploy deploy
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

FROM python:3.11.14-slim-bookworm

# Nothing is installed here any more. A volume that is first mounted on /var/lib/onpoint takes this owner with it.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.11/site-packages/* /usr/local/lib/python3.11/ensurepip \
 && groupadd --gid 10001 onpoint \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin onpoint \
 && install -d -o onpoint -g onpoint -m 0750 /var/lib/onpoint
COPY --from=build /opt/onpoint /opt/onpoint
COPY --from=build /app /app
COPY deploy/docker/healthcheck deploy/docker/onpoint /usr/local/bin/

# MALLOC_… and MIMALLOC_…: freed memory goes back, see ALLOCATORS in deploy/local/environment.py.
ENV PATH=/opt/onpoint/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    MALLOC_TRIM_THRESHOLD_=16777216 \
    MIMALLOC_PURGE_DELAY=0 \
    ONPOINT_HTTP_HOST=0.0.0.0 \
    ONPOINT_HTTP_PORT=8080
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="OnPoint" \
      org.opencontainers.image.description="An event-driven data pipeline: six services and the onpoint command" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

WORKDIR /app
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 CMD ["healthcheck"]
CMD ["onpoint", "--help"]
