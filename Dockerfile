# Separation and training on a CPU, with the install of README.md. Other builds of torch: --build-arg TORCH=torch
FROM python:3.11-slim
ARG TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
RUN pip install --no-cache-dir $TORCH
WORKDIR /ft
COPY . .
RUN pip install '.[cpu]'
RUN pip install '.[train]'
ENV MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
ENTRYPOINT ["ft"]
