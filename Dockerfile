# mfdask with its kernels compiled: a container needs no network when it starts.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/mfdask \
    && /opt/mfdask/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.13-slim
COPY --from=build /opt/mfdask /opt/mfdask
ENV PATH=/opt/mfdask/bin:$PATH \
    NUMBA_CACHE_DIR=/var/cache/mfdask/numba \
    MFDASK_CACHE=/var/cache/mfdask
RUN useradd --create-home --uid 1000 mfdask \
    && mkdir --parents /srv/mfdask/nightly/inbox /var/cache/mfdask \
    && chown --recursive mfdask /srv/mfdask /var/cache/mfdask
USER 1000
WORKDIR /srv/mfdask
# On a processor of another kind, kernels are compiled again when they are first used.
RUN mfdask warmup
VOLUME /srv/mfdask
ENTRYPOINT ["mfdask"]
CMD ["--help"]
