# docker build -t seccheck . && docker run --rm -v "$PWD:/work" seccheck gate --target https://staging:8443 …
FROM python:3.12-slim-bookworm AS build
# requirements-zones.lock: with what workers in zones and the export to a database need
ARG LOCK=requirements.lock
WORKDIR /source
COPY requirements.lock requirements-zones.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/seccheck \
 && /opt/seccheck/bin/pip install --no-cache-dir --require-hashes -r $LOCK
COPY criteria criteria
COPY report_templates report_templates
COPY seccheck seccheck
RUN /opt/seccheck/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends nmap \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 seccheck
COPY --from=build /opt/seccheck /opt/seccheck
ENV PATH=/opt/seccheck/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER seccheck
WORKDIR /work
ENTRYPOINT ["seccheck"]
CMD ["--help"]
