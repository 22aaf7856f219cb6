FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home /etc/trueup trueup
COPY --from=build /src/target/release/trueup /usr/local/bin/trueup
USER trueup
WORKDIR /etc/trueup
CMD ["trueup", "serve"]
