# One image for all nodes: `docker run … grid domain start …`.
FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 grid && install -d -o grid /home/grid/state
WORKDIR /opt/grid
# torch first and by itself, from its CPU index: any other way brings gigabytes of CUDA libraries.
RUN pip install --no-cache-dir "torch==2.13.*" --index-url https://download.pytorch.org/whl/cpu
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY packages packages
COPY apps apps
RUN pip install --no-cache-dir .
USER grid
ENV GRID_HOST=0.0.0.0 OMP_NUM_THREADS=1
VOLUME /home/grid/state
HEALTHCHECK --interval=10s --start-period=20s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['GRID_PORT']}/readyz\", timeout=5)"]
ENTRYPOINT ["grid"]
