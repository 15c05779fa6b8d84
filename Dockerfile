# The explorer on a CPU, with its dashboard.
#   docker build -t explorer --build-arg "VERSION=$(python -m hatchling version)" .   (without VERSION it is 0.0)
#   docker run --rm -v "$PWD:/work" explorer search --space preact_variants.yaml
#   docker run --rm -v "$PWD:/work" --network host explorer dashboard
FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY explorer explorer
COPY dashboards dashboards
COPY search_spaces search_spaces
ARG VERSION=0.0
RUN export SETUPTOOLS_SCM_PRETEND_VERSION_FOR_RESIDUAL_EXPLORER="$VERSION" \
    && pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch==2.13.0+cpu \
    && pip install --no-cache-dir -c constraints.txt ".[dashboard,export,postgres]" \
    && useradd --create-home --uid 1000 explorer

USER 1000
WORKDIR /work
ENTRYPOINT ["explorer"]
CMD ["--help"]
