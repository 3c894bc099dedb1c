# syntax=docker/dockerfile:1
# The image of the agent and of the controller: Debian with what the agent calls, and the program with the Node that package.json pins.
#   docker build -t fibula:VERSION .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/fibula:VERSION --push .
# Every stage runs on the target's platform: the C plugin and the native modules are compiled or chosen there.
# scripts/image makes the same image without a registry and without a container engine; it reads PACKAGES and SUITE from here.
ARG SUITE=bookworm

FROM debian:${SUITE}-slim AS build
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates nodejs npm gcc musl-tools libc6-dev
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci && \
    { [ -x node_modules/node/bin/node ] || (cd node_modules/node && node installArchSpecificPackage); }
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY crds crds
COPY scripts scripts
COPY src src
RUN scripts/node scripts/image-files.mjs /opt/fibula

FROM debian:${SUITE}-slim
# iptables: both variants, legacy and nf_tables; the agent takes the one that the node's other users take.
ARG PACKAGES="iptables ipset conntrack kmod iproute2 libstdc++6"
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${PACKAGES} && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=build /opt/fibula /opt/fibula
RUN ln -s /opt/fibula/bin/fibula /usr/bin/fibula
LABEL org.opencontainers.image.title="fibula" \
      org.opencontainers.image.description="A BGP-routed Kubernetes network" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/bin/fibula"]
CMD ["--help"]
