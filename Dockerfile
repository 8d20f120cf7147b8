# One image for all nodes: `docker run … grid domain start …`.
FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 grid && install -d -o grid /home/grid/state
WORKDIR /opt/grid
# Exact releases, each by its hash (scripts/lock); torch's CPU build (200 MB) comes from its own index. Where that cannot
# be reached, the ordinary index's torch (3 GB, its hash unchecked) stands in, and this says so.
COPY image.lock scripts/install-torch ./
RUN if [ "$(./install-torch --which)" = ordinary ]; then \
        ./install-torch --no-cache-dir && awk '/^[a-z]/ { skip = /^torch==/ } !skip' image.lock >locked.txt && \
        pip install --no-cache-dir --require-hashes --no-deps -r locked.txt && rm locked.txt; \
    else \
        pip install --no-cache-dir --require-hashes --no-deps \
            --extra-index-url https://download.pytorch.org/whl/cpu -r image.lock; \
    fi
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY packages packages
COPY apps apps
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER grid
ENV GRID_HOST=0.0.0.0 OMP_NUM_THREADS=1
VOLUME /home/grid/state
HEALTHCHECK --interval=10s --start-period=20s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['GRID_PORT']}/readyz\", timeout=5)"]
ENTRYPOINT ["grid"]
