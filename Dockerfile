# The image: the binary, what it is linked with, the authorities of the web, and nothing to break into.
#
#   docker build -t hookline .
#   docker build --target sbom -o . .      the list of what is inside, as sbom.cdx.json (CycloneDX); it also lies in the image
#
# Debian 12 twice: the binary is linked with the C library that the second stage has. OpenSSL and librdkafka are built in.

FROM rust:1.95-bookworm AS build
# librdkafka is built by its configure script and make, OpenSSL by perl: both are in the image. python3 writes the list of what is inside.
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
# The sample shop is part of the binary.
COPY config config
# What `hookline export` gives editors.
COPY schemas schemas
COPY deploy/sbom deploy/sbom
# The caches are the builder's own: a change of the sources does not fetch and build everything anew.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin hookline && \
    strip -o /hookline target/release/hookline && \
    cp "$(ldd /hookline | grep -o '/[^ ]*/libgcc_s[^ ]*')" /libgcc_s.so.1 && \
    deploy/sbom > /sbom.cdx.json && \
    mkdir -p /store

FROM scratch AS sbom
COPY --from=build /sbom.cdx.json /

# glibc, certificates, time zones, a user named nonroot (65532). No shell, no package manager, no second OpenSSL.
FROM gcr.io/distroless/base-nossl-debian12:nonroot
COPY --from=build /libgcc_s.so.1 /usr/lib/libgcc_s.so.1
COPY --from=build /hookline /usr/bin/hookline
COPY --from=build /sbom.cdx.json /usr/share/doc/hookline/sbom.cdx.json
COPY LICENSE /usr/share/doc/hookline/LICENSE
# Owned by the user, so that a new volume that is mounted here is the user's as well.
COPY --from=build --chown=65532:65532 /store /var/lib/hookline
# OpenSSL was built in another place than it runs in, and does not find the authorities by itself.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /var/lib/hookline
VOLUME /var/lib/hookline
# API, metrics and health; each only as far as the configuration lets it listen.
EXPOSE 8080 9464
# Alive, not ready: an outage of Kafka is no reason to start a container anew.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["/usr/bin/hookline", "health"]
ENTRYPOINT ["/usr/bin/hookline"]
CMD ["run"]
