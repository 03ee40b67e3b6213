# Any image with Python 3.11 or newer. For NVIDIA GPUs, one that has PyTorch with CUDA, and only what lacks is installed:
#   docker build -t ganatomy .
#   docker build -t ganatomy-cuda --build-arg BASE=pytorch/pytorch:TAG .
#   docker run --rm -v "$PWD:/studies" ganatomy dissect bundled:church --out study
ARG BASE=python:3.11-slim
FROM ${BASE}
ARG EXTRAS=hf,web
# Options of pip, such as an index with the smaller CPU builds of PyTorch.
ARG PIP_OPTIONS=
COPY . /opt/ganatomy
RUN pip install --no-cache-dir ${PIP_OPTIONS} "/opt/ganatomy[${EXTRAS}]" && rm -rf /opt/ganatomy
ENV GANATOMY_CACHE=/cache
VOLUME /cache
WORKDIR /studies
ENTRYPOINT ["ganatomy"]
CMD ["doctor"]
